//! Every bound of the product, with its unit. A queue, loop, buffer or retry without a line here is a bug.

use std::time::Duration;

// --- Jobs, as given ---

/// Longest job id, in characters.
pub const JOB_ID_CHARS_MAX: usize = 128;
/// Length of a generated job id, in characters.
pub const GENERATED_ID_CHARS: usize = 16;
/// Shortest prefix of a generated id that selects a job, in characters.
pub const ID_PREFIX_CHARS_MIN: usize = 4;
/// Longest queue name, in characters.
pub const QUEUE_NAME_CHARS_MAX: usize = 128;
/// Longest command, in bytes of its shell line or of its argv together. The kernel caps one argument at 128 KiB.
pub const COMMAND_BYTES_MAX: usize = 128 * 1024 - 1;
/// Largest payload of a job for a handler, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Most tags on one job.
pub const TAGS_MAX: usize = 64;
/// Longest key or value of a tag, in characters.
pub const TAG_CHARS_MAX: usize = 256;
/// Largest environment stored with a job, in bytes of its names and values together.
pub const ENVIRONMENT_BYTES_MAX: usize = 512 * 1024;
/// Highest `max_retries`.
pub const MAX_RETRIES_MAX: u32 = 1_000_000;
/// Lowest and highest priority.
pub const PRIORITY_MIN: i32 = -1_000_000;
/// See [`PRIORITY_MIN`].
pub const PRIORITY_MAX: i32 = 1_000_000;
/// Longest duration that any option takes, in milliseconds: one hundred years.
pub const DURATION_MS_MAX: i64 = 100 * 366 * 24 * 3600 * 1000;
/// Latest instant that `run_at` takes, in milliseconds of the epoch: the end of the year 9998.
pub const TIMESTAMP_MS_MAX: i64 = 253_370_764_799_999;
/// Most jobs that are put in by one transaction; more go in steps, under a batch. A few in the build of the crash proof, so
/// that it reaches the steps.
pub const ENQUEUE_JOBS_MAX: usize = if cfg!(fault_points) { 8 } else { 10_000 };
/// Most jobs of one JSON array, which is held in memory; one object a line has no bound.
pub const ENQUEUE_ARRAY_JOBS_MAX: usize = 100_000;
/// Longest line of an enqueue's input, in bytes.
pub const ENQUEUE_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Given ids whose fingerprints (64 bits) an enqueue holds in memory while it looks for doubles; more are on disk.
pub const ENQUEUE_IDS_IN_MEMORY_MAX: usize = 512 * 1024;
/// Wrong lines of an enqueue that are named.
pub const ENQUEUE_FAULTS_NAMED_MAX: usize = 10;
/// Largest input of one enqueue that is not one object a line, in bytes.
pub const ENQUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest stored `last_error`, in characters.
pub const LAST_ERROR_CHARS_MAX: usize = 512;
/// Most listed exit codes of one rule.
pub const EXIT_CODES_MAX: usize = 256;

// --- Workers ---

/// Most slots of one worker process.
pub const SLOTS_MAX: usize = 1024;
/// Most queue names that one worker is bound to.
pub const WORKER_QUEUES_MAX: usize = 256;
/// Most jobs claimed ahead of a free slot.
pub const PREFETCH_MAX: usize = 64;
/// Runs seen before a worker claims ahead at all.
pub const PREFETCH_RUNS_MIN: usize = 32;
/// Prefetch holds at most this much work per slot.
pub const PREFETCH_HORIZON: Duration = Duration::from_millis(40);
/// A claim that has not started by then goes back.
pub const UNSTARTED_MAX: Duration = Duration::from_millis(100);
/// A settle waits at most this long for company, and only while the slots are busy with what was claimed ahead.
pub const SETTLE_DELAY: Duration = Duration::from_millis(24);
/// A second stop signal escalates only if it comes at least this long after the first.
pub const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);
/// How often a worker looks for keepers whose process or worker has died. Its slow look at the store keeps the same beat.
pub const RECOVERY_INTERVAL: Duration = Duration::from_millis(500);
/// The same while there is no keeper but its own, whose death it sees at once. Another may come and lose its worker
/// meanwhile, which is to be noticed within a second.
pub const RECOVERY_INTERVAL_ALONE: Duration = Duration::from_millis(900);
/// How often a worker with running jobs asks the store for cancels even if nobody rang.
pub const RUNNING_POLL_MAX: Duration = Duration::from_secs(1);
/// Claiming pauses this long after a job could not be started for reasons of our own, twice as long after the next
/// pause that does not help, and so on.
pub const SPAWN_PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest such pause.
pub const SPAWN_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a worker that is to stop waits for a store that cannot be used before it leaves the outcomes in the spool.
pub const STOPPING_STORE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a worker waits for a keeper's first word.
pub const KEEPER_HELLO_MAX: Duration = Duration::from_secs(10);

/// An exchange that has not come back after so long, well past the wait for a busy store, is no sign of life any more.
pub const EXCHANGE_OVERDUE: Duration = Duration::from_secs(120);
/// A worker that is looked after by the first process of a container and crashes is started again after so long, twice
/// as long after the next crash, and so on.
pub const RESTART_WAIT_FIRST: Duration = Duration::from_millis(100);
/// The longest such wait.
pub const RESTART_WAIT_MAX: Duration = Duration::from_secs(10);
/// Crashes in a row after which it is started again; after one more the container ends.
pub const RESTARTS_MAX: u32 = 12;
/// A worker that ran so long before it crashed is the first in a row.
pub const RESTART_CALM: Duration = Duration::from_secs(60);

// --- The store ---

/// Most due jobs that one exchange promotes to ready.
pub const PROMOTE_MAX: usize = 1_000;
/// Most outcomes that one exchange settles.
pub const SETTLES_MAX: usize = 1_024;
/// Most rows in one page of a listing.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// How long a statement waits for another process's write transaction.
pub const STORE_BUSY_MAX: Duration = Duration::from_secs(30);
/// How long of that a writer stands in line, before it asks whenever it may.
pub const STORE_LINE_MAX: Duration = Duration::from_secs(1);
/// Most requests that share one commit of the writer thread.
pub const GROUP_COMMIT_MAX: usize = 256;
/// The write-ahead log is written into the database once it has so many pages.
pub const CHECKPOINT_PAGES: usize = 1_000;
/// A command that closes the database as the last one leaves a log of fewer pages to whoever comes next.
pub const CLOSING_CHECKPOINT_PAGES: usize = 100;
/// A write-ahead log longer than this, in bytes, is a finding: somebody keeps an old state of the database open.
pub const LOG_ALARM_BYTES: u64 = 64 * 1024 * 1024;
/// A worker tells of such a log at most this often.
pub const LOG_ALARM_INTERVAL: Duration = Duration::from_secs(60);
/// How long the emptying of a log waits for those who write or read just now.
pub const LOG_TRIM_WAIT_MAX: Duration = Duration::from_millis(200);
/// Most requests that wait for the writer thread; more block their callers.
pub const WRITER_QUEUE_MAX: usize = 4_096;
/// Longest path of a database file, in bytes: SQLite takes 512, less the suffixes of its log and its end mark.
pub const DATABASE_PATH_BYTES_MAX: usize = 500;
/// Connections that read beside the writer.
pub const READERS: usize = 2;
/// Jobs cancelled, brought back or deleted in one transaction; more go in steps.
pub const CHANGE_BATCH_MAX: usize = 1_000;

/// Free space, in bytes, below which `doctor` warns.
pub const DISK_FREE_WARNING_BYTES: u64 = 1024 * 1024 * 1024;
/// Free space, in bytes, below which it is a problem.
pub const DISK_FREE_PROBLEM_BYTES: u64 = 64 * 1024 * 1024;
/// A job may have been changed so much later than it is now before the clock is suspected.
pub const CLOCK_SLACK: Duration = Duration::from_secs(60);

// --- The keeper and what a job prints ---

/// Output kept in the store itself, in bytes of one stream; more goes to a file.
pub const OUTPUT_INLINE_BYTES_MAX: usize = 16 * 1024;
/// Default cap of what is kept of one attempt's output, in bytes over both streams (`output-max`).
pub const OUTPUT_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;
/// Smallest `output-max`, in bytes.
pub const OUTPUT_BYTES_MIN: u64 = 64 * 1024;
/// Largest `output-max`, in bytes.
pub const OUTPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024 * 1024;
/// Read from a pipe at once, in bytes.
pub const PIPE_READ_BYTES: usize = 64 * 1024;
/// Size of a pipe whose output is more than is kept, and most that is read from it at once, in bytes: what is dropped costs
/// less the more of it comes at a time. As much as the kernel lets everyone ask for.
pub const PIPE_FLOOD_BYTES: usize = 1024 * 1024;
/// Reads from one pipe before the keeper turns to the others.
pub const PIPE_READS_PER_TURN: usize = 4;
/// The pipes of an attempt are watched once it has run so long. Most have ended by then, and what they printed is read
/// then, at one go.
pub const PIPES_UNWATCHED_MAX: Duration = Duration::from_millis(5);
/// A keeper tells of a start with what it says next, and after so long at the latest.
pub const STARTED_TOLD_AFTER_MAX: Duration = Duration::from_millis(20);
/// Largest message between worker and keeper, in bytes.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most bytes of messages that wait for a worker who does not read; the keeper stops reading jobs' output then.
pub const KEEPER_BACKLOG_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most connections that follow the output of one keeper's jobs.
pub const KEEPER_FOLLOWERS_MAX: usize = 64;
/// A spool file is rewritten with only its live records once it passes this size, in bytes. In the build of the crash proof
/// that is after a few jobs.
pub const SPOOL_BYTES_MAX: u64 = if cfg!(fault_points) { 2 * 1024 } else { 1024 * 1024 };
/// Default time between TERM and KILL (`kill-grace`).
pub const KILL_GRACE_DEFAULT: Duration = Duration::from_secs(10);
/// After KILL the keeper looks this often for what is left of a tree.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(20);
/// A program that somebody has open for writing is tried so often before its job counts as one that cannot start.
pub const TEXT_BUSY_TRIES_MAX: u32 = 10;
/// Between the first two of those tries; then twice as long each time, five seconds in all.
pub const TEXT_BUSY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// Passes of a sweep before it gives up and reports what would not die.
pub const SWEEP_PASSES_MAX: usize = 500;
/// A child that dies by TERM, HUP, INT or KILL this long before the keeper itself is told to stop was interrupted.
pub const SHUTDOWN_NOTICE: Duration = Duration::from_millis(100);
/// Longest name of a worker or keeper in the run directory, in characters.
pub const RUN_ID_CHARS_MAX: usize = 64;
/// Largest record of a spool, in bytes.
pub const SPOOL_RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest piece of output in one message to a follower, in bytes.
pub const FOLLOW_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Bytes of output that wait for one follower before the keeper reads on for it.
pub const FOLLOW_BACKLOG_BYTES_MAX: usize = 256 * 1024;
/// Most attempts that one connection follows at once.
pub const FOLLOWS_PER_CONNECTION_MAX: usize = 1_024;
/// Tails of floods that a keeper holds in memory, in bytes over all its attempts; further ones go to their files as they come.
pub const OUTPUT_TAILS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes moved in one turn while the dropped middle of an output file is closed.
pub const OUTPUT_ROTATE_BYTES_PER_TURN: u64 = 8 * 1024 * 1024;
/// The keeper looks at its deadlines at least this often, because timers sleep while the machine does.
pub const KEEPER_TURN_MAX: Duration = Duration::from_secs(1);
/// Events that the keeper takes from the kernel at once.
pub const KEEPER_EVENTS_PER_TURN: usize = 64;
/// How long a lock in the run directory is asked for again before its holder counts as alive.
pub const RUN_LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
/// Settled attempts whose output a keeper still has for followers who come late.
pub const ENDED_FOLLOWABLE_MAX: usize = 32;
/// Pipes of kept leftovers that a keeper reads so that they can write on.
pub const KEPT_PIPES_MAX: usize = 256;

// --- Seeing ---

/// A watched table is drawn at most this often.
pub const WATCH_DRAW_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// How often a watched table is drawn even if nobody rang (`--watch`).
pub const WATCH_INTERVAL_DEFAULT: Duration = Duration::from_secs(2);
/// Most jobs in one drawing of a watched listing.
pub const WATCH_JOBS_MAX: usize = 1_000;
/// Most jobs whose output one `logs --follow` shows at once. Each has a connection of its own to its keeper.
pub const LOGS_FOLLOWED_MAX: usize = 32;
/// Pieces of output that wait to be shown by `logs --follow`, over all of its jobs.
pub const LOGS_PIECES_MAX: usize = 16;
/// A line of output longer than this, in bytes, is shown in pieces where lines have a prefix.
pub const LOGS_LINE_BYTES_MAX: usize = 64 * 1024;
/// Read at once from what was kept of a job's output, in bytes.
pub const OUTPUT_READ_BYTES: usize = 64 * 1024;

// --- The command line ---

/// Most ids that a shell is offered for completion: the newest ones.
pub const COMPLETION_IDS_MAX: usize = 50;
/// A completion that the store has not answered by then offers nothing.
pub const COMPLETION_WAIT_MAX: Duration = Duration::from_millis(500);
/// `top` draws at most this often.
pub const TOP_DRAW_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// How often `top` looks at the store even if nobody rang.
pub const TOP_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Rung for, it looks again after this long at the earliest.
pub const TOP_LOOK_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// A look that took so long is followed by a rest this many times as long.
pub const TOP_REST_FACTOR: u32 = 9;
/// Most jobs in the list of `top`: the newest.
pub const TOP_JOBS_MAX: usize = 200;
/// Most jobs that `top` looks through for typed words: the newest.
pub const TOP_SEARCHED_MAX: usize = 10_000;
/// Most running jobs that `top` tells of.
pub const TOP_RUNNING_MAX: usize = 1_000;
/// Longest command or reason in `top`, in characters.
pub const TOP_TEXT_CHARS_MAX: usize = 256;
/// Longest filter typed into `top`, in characters.
pub const TOP_FILTER_CHARS_MAX: usize = 128;
/// Lines of a job's output that `top` holds.
pub const TOP_OUTPUT_LINES_MAX: usize = 1_000;
/// A longer line, in columns, goes on in another.
pub const TOP_LINE_CHARS_MAX: usize = 2_000;
/// Of an ended attempt's output, bytes of each stream that `top` reads, from the end.
pub const TOP_OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// Of a running job's output, bytes that `top` takes between two drawings; the job's keeper drops the rest for it.
pub const TOP_LIVE_BYTES_MAX: usize = 256 * 1024;
/// Attempts in the details of `top`: the last.
pub const TOP_ATTEMPTS_MAX: u32 = 10;
/// News and keys that wait for `top` to take them.
pub const TOP_NEWS_MAX: usize = 16;

// --- Keeping ---

/// Pages of a database copied in one step of a backup, between two looks at its progress.
pub const COPY_PAGES_PER_STEP: i32 = 1_024;
/// Lost jobs that a salvage names.
pub const SALVAGE_NAMED_MAX: usize = 10;
