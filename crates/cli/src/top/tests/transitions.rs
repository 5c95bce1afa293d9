//! What keys and news do to the model.

use super::super::seen::Note;
use super::super::state::{Mode, Pane, Paused, Row, Why};
use super::*;

#[test]
fn the_first_page_marks_its_newest_job_and_follows_it() {
    let mut model = Model::new(String::new());
    let effects = model.update(Event::News(News::Jobs(page(View::default(), jobs()))));
    assert_eq!(effects, [Effect::Follow(id("late1"))]);
    assert_eq!(model.job, Some(id("late1")));
}

#[test]
fn the_mark_is_a_job_and_not_a_place() {
    let mut model = model();
    assert_eq!(press(&mut model, KeyCode::Char('j')), [Effect::Follow(id("new1"))]);
    assert!(model.tail.is_empty(), "another job's output");
    let mut more = jobs();
    more.insert(0, job("newer", Shown::Pending));
    assert_eq!(model.update(Event::News(News::Jobs(page(View::default(), more)))), []);
    assert_eq!(model.job, Some(id("new1")));
    assert_eq!(press(&mut model, KeyCode::Up), [Effect::Follow(id("late1"))]);
}

#[test]
fn a_marked_job_that_left_the_list_stays_marked_until_a_key_moves_on_from_its_place() {
    let mut model = model();
    type_all(&mut model, "j");
    let mut fewer = jobs();
    fewer.remove(1);
    assert_eq!(model.update(Event::News(News::Jobs(page(View::default(), fewer)))), []);
    assert_eq!(model.job, Some(id("new1")));
    assert_eq!(press(&mut model, KeyCode::Down), [Effect::Follow(id("run1"))]);
}

#[test]
fn moves_stop_at_both_ends() {
    let mut model = model();
    press(&mut model, KeyCode::Up);
    assert_eq!(model.job, Some(id("late1")));
    press(&mut model, KeyCode::PageDown);
    assert_eq!(model.job, Some(id("bad1")));
    type_all(&mut model, "jg");
    assert_eq!(model.job, Some(id("late1")));
    type_all(&mut model, "G");
    assert_eq!(model.job, Some(id("bad1")));
}

#[test]
fn tab_goes_round_the_panes_and_back() {
    let mut model = model();
    let mut panes = Vec::new();
    for _ in 0..4 {
        press(&mut model, KeyCode::Tab);
        panes.push(model.pane);
    }
    assert_eq!(panes, [Pane::Output, Pane::Queues, Pane::Workers, Pane::Jobs]);
    press(&mut model, KeyCode::BackTab);
    assert_eq!(model.pane, Pane::Workers);
}

#[test]
fn a_running_job_below_its_worker_can_be_marked() {
    let mut model = model();
    model.pane = Pane::Workers;
    assert_eq!(model.row, Some(Row::Worker("w1".to_owned())));
    assert_eq!(press(&mut model, KeyCode::Enter), []);
    assert_eq!(press(&mut model, KeyCode::Down), [Effect::Follow(id("run1"))]);
    assert_eq!(press(&mut model, KeyCode::Enter), [Effect::Details(id("run1"))]);
}

#[test]
fn p_pauses_the_marked_queue_and_resumes_it() {
    let mut model = model();
    assert_eq!(type_all(&mut model, "p"), [Effect::SetPaused(queue("default"), Paused::Yes)]);
    model.pane = Pane::Queues;
    assert_eq!(type_all(&mut model, "jp"), [Effect::SetPaused(queue("mail"), Paused::No)]);
}

#[test]
fn a_cancel_is_asked_for_and_only_y_means_yes() {
    let mut model = model();
    assert_eq!(type_all(&mut model, "c"), []);
    assert_eq!(model.mode, Mode::Confirm(id("late1")));
    // The job that was asked about, even if another is marked meanwhile.
    model.job = Some(id("run1"));
    assert_eq!(type_all(&mut model, "y"), [Effect::Cancel(id("late1"))]);
    for other in ["n", "q", " "] {
        assert_eq!(type_all(&mut model, "c"), []);
        assert_eq!(type_all(&mut model, other), [], "{other}");
        assert_eq!(model.mode, Mode::Normal);
    }
    assert!(model.note.is_some_and(|note| note.text == "Nothing was cancelled"));
}

#[test]
fn a_job_that_has_ended_is_not_asked_about() {
    let mut model = model();
    assert_eq!(type_all(&mut model, "Gc"), [Effect::Follow(id("bad1"))]);
    assert_eq!(model.mode, Mode::Normal);
    assert!(model.note.is_some_and(|note| note.refused && note.text.contains("is dead already")));
}

#[test]
fn r_retries_the_marked_job() {
    assert_eq!(type_all(&mut model(), "r"), [Effect::Retry(id("late1"))]);
    assert_eq!(type_all(&mut Model::new(String::new()), "rcp"), [], "there is none");
}

#[test]
fn digits_choose_a_state() {
    let mut model = model();
    let dead = View { shown: Some(Shown::Dead), ..View::default() };
    assert_eq!(type_all(&mut model, "5"), [Effect::Look(dead.clone())]);
    assert_eq!(type_all(&mut model, "5"), [], "it is chosen already");
    // A page of the view before comes too late; the new one marks its first.
    assert_eq!(model.update(Event::News(News::Jobs(page(View::default(), Vec::new())))), []);
    assert_eq!(model.page.as_ref().map(|page| page.jobs.len()), Some(4));
    let effects = model.update(Event::News(News::Jobs(page(dead, vec![job("bad1", Shown::Dead)]))));
    assert_eq!(effects, [Effect::Follow(id("bad1"))]);
    assert_eq!(type_all(&mut model, "0"), [Effect::Look(View::default())]);
}

#[test]
fn a_filter_takes_effect_as_it_is_typed() {
    let mut model = model();
    let with = |text: &str| Effect::Look(View { text: text.to_owned(), ..View::default() });
    assert_eq!(type_all(&mut model, "/qc"), [with("q"), with("qc")], "letters are text now");
    assert_eq!(press(&mut model, KeyCode::Backspace), [with("q")]);
    assert_eq!(press(&mut model, KeyCode::Enter), []);
    assert_eq!((model.view.text.as_str(), &model.mode), ("q", &Mode::Normal));
    // Esc takes back what was typed since.
    assert_eq!(type_all(&mut model, "/x"), [with("qx")]);
    assert_eq!(press(&mut model, KeyCode::Esc), [with("q")]);
    type_all(&mut model, "/");
    assert_eq!(control(&mut model, 'a'), []);
    assert_eq!(control(&mut model, 'u'), [with("")]);
    press(&mut model, KeyCode::Enter);
    type_all(&mut model, "5/x");
    press(&mut model, KeyCode::Enter);
    assert_eq!(press(&mut model, KeyCode::Esc), [Effect::Look(View::default())], "all jobs again");
}

#[test]
fn esc_and_a_key_that_come_at_once_are_both_heard() {
    let mut model = model();
    type_all(&mut model, "/x");
    press(&mut model, KeyCode::Enter);
    let at_once = KeyEvent::new(KeyCode::Char('p'), KeyModifiers::ALT);
    let expected = [Effect::Look(View::default()), Effect::SetPaused(queue("default"), Paused::Yes)];
    assert_eq!(model.update(Event::Key(at_once)), expected);
}

#[test]
fn a_filter_is_bounded() {
    let mut model = model();
    type_all(&mut model, &format!("/{}", "x".repeat(1_000)));
    assert_eq!(model.view.text.len(), queuectl::core::limits::TOP_FILTER_CHARS_MAX);
}

#[test]
fn enter_on_a_queue_shows_its_jobs_only_and_again_all() {
    let mut model = model();
    model.pane = Pane::Queues;
    type_all(&mut model, "j");
    let mail = View { queue: Some(queue("mail")), ..View::default() };
    assert_eq!(press(&mut model, KeyCode::Enter), [Effect::Look(mail)]);
    assert_eq!(press(&mut model, KeyCode::Enter), [Effect::Look(View::default())]);
}

#[test]
fn details_come_when_they_are_read_and_scroll() {
    let mut model = model();
    assert_eq!(press(&mut model, KeyCode::Enter), [Effect::Details(id("late1"))]);
    let lines = vec!["a".to_owned(), "b".to_owned()];
    model.update(Event::News(News::Details(id("other"), vec!["wrong".to_owned()])));
    model.update(Event::News(News::Details(id("late1"), lines.clone())));
    type_all(&mut model, "jjj");
    assert_eq!(model.mode, Mode::Details { job: id("late1"), lines: Some(lines), top: 1 });
    assert_eq!(type_all(&mut model, "q"), [], "it only goes back");
    assert_eq!(model.mode, Mode::Normal);
    model.update(Event::News(News::Details(id("late1"), Vec::new())));
    assert_eq!(model.mode, Mode::Normal, "too late");
}

#[test]
fn output_of_another_job_is_not_shown() {
    let mut model = model();
    model.update(Event::News(News::Output(id("run1"), vec![Said::Text("not mine\n".to_owned())])));
    assert!(model.tail.rows(80, 10).iter().all(|line| line.text != "not mine"));
    press(&mut model, KeyCode::Tab);
    type_all(&mut model, "kk");
    assert_eq!(model.tail.below(), 2);
    press(&mut model, KeyCode::End);
    assert_eq!(model.tail.below(), 0);
    press(&mut model, KeyCode::Enter);
    assert!(model.zoomed);
    assert_eq!(press(&mut model, KeyCode::Esc), []);
    assert!(!model.zoomed);
}

#[test]
fn ctrl_c_ctrl_z_and_ctrl_l_work_everywhere_and_q_ends() {
    for keys in ["", "/", "?", "c"] {
        let mut model = model();
        type_all(&mut model, keys);
        assert_eq!(control(&mut model, 'l'), [Effect::Redraw]);
        assert_eq!(control(&mut model, 'z'), [Effect::Suspend]);
        assert_eq!(control(&mut model, 'c'), [Effect::Quit(Why::Interrupted)]);
    }
    assert_eq!(type_all(&mut model(), "q"), [Effect::Quit(Why::Asked)]);
    assert_eq!(type_all(&mut model(), "?q"), [], "any key goes back");
}

#[test]
fn trouble_lasts_until_the_store_is_read_again_and_a_note_until_the_next_key() {
    let mut model = model();
    model.update(Event::News(News::Trouble("locked".to_owned())));
    model.update(Event::News(News::Did(Note { text: "done".to_owned(), refused: false })));
    assert!(model.trouble.is_some() && model.note.is_some());
    model.update(Event::News(News::Overview(Box::new(overview()))));
    assert!(model.trouble.is_none() && model.note.is_some());
    press(&mut model, KeyCode::Tab);
    assert!(model.note.is_none());
}

#[test]
fn marks_on_what_has_gone_move_to_what_is_there() {
    let mut model = model();
    model.pane = Pane::Queues;
    type_all(&mut model, "j");
    model.row = Some(Row::Job(id("run1")));
    let mut less = overview();
    less.queues.truncate(1);
    less.workers.remove(0);
    model.update(Event::News(News::Overview(Box::new(less))));
    assert_eq!(model.queue, Some(queue("default")));
    assert_eq!(model.row, Some(Row::Worker("w2".to_owned())));
}
