//! What is drawn, as files to look at.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::super::draw::draw;
use super::super::seen::Note;
use super::super::state::Pane;
use super::*;

fn picture(model: &Model, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a picture");
    terminal.draw(|frame| draw(frame, model, true)).expect("a picture");
    terminal.backend().clone()
}

#[test]
fn all_panes() {
    insta::assert_snapshot!("all", picture(&model(), 100, 30));
}

#[test]
fn nothing_yet() {
    insta::assert_snapshot!("nothing-yet", picture(&Model::new("/data/queue.db".to_owned()), 80, 20));
}

#[test]
fn a_small_terminal_shows_one_pane() {
    let mut model = model();
    insta::assert_snapshot!("small-jobs", picture(&model, 40, 10));
    model.pane = Pane::Workers;
    insta::assert_snapshot!("small-workers", picture(&model, 40, 10));
    model.pane = Pane::Queues;
    insta::assert_snapshot!("small-queues", picture(&model, 40, 10));
    model.pane = Pane::Output;
    insta::assert_snapshot!("small-output", picture(&model, 40, 10));
}

#[test]
fn help_details_and_questions() {
    let mut model = model();
    type_all(&mut model, "?");
    insta::assert_snapshot!("help", picture(&model, 60, 20));
    press(&mut model, KeyCode::Esc);
    press(&mut model, KeyCode::Enter);
    let lines = ["id:            late1", "state:         pending"].map(str::to_owned).to_vec();
    model.update(Event::News(News::Details(id("late1"), lines)));
    insta::assert_snapshot!("details", picture(&model, 40, 10));
    type_all(&mut model, "qc");
    insta::assert_snapshot!("question", picture(&model, 40, 10));
    type_all(&mut model, "n3/some words");
    insta::assert_snapshot!("filter", picture(&model, 40, 10));
}

#[test]
fn every_size_can_be_drawn() {
    for (width, height) in [(1, 1), (2, 2), (3, 5), (12, 3), (59, 17), (60, 18), (300, 4), (7, 200)] {
        for keys in ["", "?", "c", "/x"] {
            let mut model = model();
            type_all(&mut model, keys);
            picture(&model, width, height);
            for pane in [Pane::Queues, Pane::Workers, Pane::Output] {
                model.pane = pane;
                picture(&model, width, height);
            }
        }
    }
}

#[test]
fn the_mark_is_in_sight_however_long_the_list() {
    let mut model = model();
    let many: Vec<JobSeen> = (0..200).map(|n| job(&format!("n{n}"), Shown::Pending)).collect();
    model.update(Event::News(News::Jobs(JobsPage { view: View::default(), jobs: many, more: true })));
    type_all(&mut model, "G");
    let text = picture(&model, 80, 24).to_string();
    assert!(text.contains("n199") && !text.contains("n100 "), "{text}");
    assert!(text.contains("the newest 200"), "{text}");
}

#[test]
fn what_is_long_is_cut_and_what_is_wide_is_counted() {
    let mut model = model();
    let mut long = job(&"x".repeat(128), Shown::Pending);
    long.command = "日本語".repeat(50);
    model.update(Event::News(News::Jobs(page(View::default(), vec![long]))));
    type_all(&mut model, "gc");
    insta::assert_snapshot!("long", picture(&model, 80, 18));
}

#[test]
fn colours_are_left_out_where_there_are_none_and_the_mark_still_shows() {
    let mut model = model();
    model.update(Event::News(News::Did(Note { text: "no".to_owned(), refused: true })));
    for colours in [true, false] {
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).expect("a picture");
        terminal.draw(|frame| draw(frame, &model, colours)).expect("a picture");
        let cells = terminal.backend().buffer().content().iter();
        let painted = cells.clone().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(painted, colours);
        assert!(cells.clone().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
    }
}
