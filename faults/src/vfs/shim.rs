//! The VFS itself: each file is a header of ours in front of the file of the VFS that it wraps.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Once};

use rusqlite::ffi;

use super::{Call, Entry, Kind, Session};

const NAME: &CStr = c"queuectl-faults";
/// The VFS of those who look at a watched database: what they write is logged, and no call of theirs counts or fails.
pub const WITNESS: &CStr = c"queuectl-faults-witness";
const OK: c_int = ffi::SQLITE_OK;

/// The lock of a write-ahead log that its writer has.
const WRITE_LOCK: c_int = 0;

/// Of SQLite's memory for one of our files: this, then the wrapped file.
#[repr(C)]
struct Shim {
    base: ffi::sqlite3_file,
    /// From `Box::into_raw`; null for files that nobody watches.
    watch: *mut Watch,
}

/// Where the wrapped file begins; it is made of words, as ours is.
const WRAPPED_AT: usize = size_of::<Shim>().next_multiple_of(8);

struct Watch {
    session: Arc<Session>,
    kind: Kind,
    of_witness: bool,
    /// The first sync of a new log or journal is one of its directory as well.
    syncs_directory: bool,
}

/// Makes the shim the VFS of every connection that names none. Once for the process.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: finding initialises the library; "unix" is always there on Unix and is never unregistered. The copy is
        // leaked, for SQLite keeps the pointer. The methods that are copied and not wrapped (random numbers, sleep, time,
        // errors, libraries) do not look at the VFS that they are called with.
        unsafe {
            let wrapped = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            assert!(!wrapped.is_null(), "SQLite knows its own VFS");
            for (name, default) in [(NAME, 1), (WITNESS, 0)] {
                let mut vfs = *wrapped;
                vfs.szOsFile = WRAPPED_AT as c_int + (*wrapped).szOsFile;
                vfs.zName = name.as_ptr();
                vfs.pNext = ptr::null_mut();
                vfs.pAppData = wrapped.cast();
                vfs.xOpen = Some(open);
                vfs.xDelete = Some(delete);
                vfs.xAccess = Some(access);
                let registered = ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), default);
                assert_eq!(registered, OK, "SQLite takes the VFS");
            }
        }
    });
}

/// The wrapped VFS.
///
/// # Safety
/// `vfs` is one that [`install`] registered.
unsafe fn wrapped_vfs(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: `install` put it there.
    unsafe { (*vfs).pAppData.cast() }
}

/// Whether a call comes from a witness.
///
/// # Safety
/// `vfs` is one that [`install`] registered.
unsafe fn of_witness(vfs: *mut ffi::sqlite3_vfs) -> bool {
    // SAFETY: the name is static.
    unsafe { (*vfs).zName == WITNESS.as_ptr() }
}

/// The wrapped file, its methods, and the watch over it.
///
/// # Safety
/// `file` was opened by [`open`] and is not closed.
unsafe fn parts<'a>(
    file: *mut ffi::sqlite3_file,
) -> (*mut ffi::sqlite3_file, &'a ffi::sqlite3_io_methods, Option<&'a mut Watch>) {
    // SAFETY: SQLite gave room for both files; `open` filled them in. SQLite calls a file from one thread at a time.
    unsafe {
        let wrapped: *mut ffi::sqlite3_file = file.cast::<u8>().add(WRAPPED_AT).cast();
        (wrapped, &*(*wrapped).pMethods, (*file.cast::<Shim>()).watch.as_mut())
    }
}

/// Counts a call; what it must return at once if it must fail.
fn gate(watch: Option<&mut Watch>, call: Call) -> Option<c_int> {
    let watch = watch?;
    failing(&watch.session, watch.of_witness, call)
}

fn failing(session: &Session, of_witness: bool, call: Call) -> Option<c_int> {
    if of_witness {
        return None;
    }
    let full = session.fails(call)?;
    Some(match call {
        Call::Write if full => ffi::SQLITE_FULL,
        Call::Open => ffi::SQLITE_CANTOPEN,
        Call::Delete => ffi::SQLITE_IOERR_DELETE,
        Call::Access => ffi::SQLITE_IOERR_ACCESS,
        Call::Read => ffi::SQLITE_IOERR_READ,
        Call::Write => ffi::SQLITE_IOERR_WRITE,
        Call::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
        Call::Sync => ffi::SQLITE_IOERR_FSYNC,
        Call::Size => ffi::SQLITE_IOERR_FSTAT,
        Call::Lock => ffi::SQLITE_IOERR_LOCK,
        Call::ShmMap => ffi::SQLITE_IOERR_SHMMAP,
        Call::ShmLock => ffi::SQLITE_IOERR_SHMLOCK,
    })
}

/// The path of a name that SQLite passes.
///
/// # Safety
/// `name` is null or ends with a zero.
unsafe fn path_of(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    Some(Path::new(OsStr::from_bytes(bytes)).to_owned())
}

fn kind_of(path: &Path) -> Kind {
    let name = path.as_os_str().as_bytes();
    if name.ends_with(b"-wal") {
        Kind::Wal
    } else if name.ends_with(b"-journal") {
        Kind::Journal
    } else {
        Kind::Database
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a name or null.
    let path = unsafe { path_of(name) };
    let session = path.as_deref().and_then(Session::of);
    // SAFETY: `file` has room for `szOsFile` bytes. Without methods SQLite takes it for closed.
    unsafe { (*file).pMethods = ptr::null() };
    // SAFETY: SQLite passes the VFS that it opens the file of.
    let of_witness = unsafe { of_witness(vfs) };
    if let Some(code) = session.as_deref().and_then(|session| failing(session, of_witness, Call::Open)) {
        return code;
    }
    let exists = path.as_deref().is_some_and(Path::exists);
    // SAFETY: the wrapped VFS gets its own pointer and its own part of the memory, zeroed as SQLite left it.
    let code = unsafe {
        let vfs = wrapped_vfs(vfs);
        let wrapped: *mut ffi::sqlite3_file = file.cast::<u8>().add(WRAPPED_AT).cast();
        (*wrapped).pMethods = ptr::null();
        let code = (*vfs).xOpen.expect("a VFS opens files")(vfs, name, wrapped, flags, flags_out);
        if code != OK && !(*wrapped).pMethods.is_null() {
            (*(*wrapped).pMethods).xClose.expect("a file closes")(wrapped);
        }
        code
    };
    if code != OK {
        return code;
    }
    let watch = session.zip(path).map_or(ptr::null_mut(), |(session, path)| {
        let kind = kind_of(&path);
        let creates = flags & ffi::SQLITE_OPEN_CREATE != 0;
        if creates && !exists {
            session.note(Entry::Create(kind));
        }
        session.opened();
        Box::into_raw(Box::new(Watch {
            session,
            kind,
            of_witness,
            syncs_directory: creates && kind != Kind::Database,
        }))
    });
    // SAFETY: `file` has room for a `Shim`.
    unsafe {
        (*file.cast::<Shim>()).watch = watch;
        (*file).pMethods = &raw const METHODS;
    }
    OK
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, directory: c_int) -> c_int {
    // SAFETY: SQLite passes a name.
    let path = unsafe { path_of(name) }.unwrap_or_default();
    let session = Session::of(&path);
    // SAFETY: SQLite passes the VFS that it calls.
    let of_witness = unsafe { of_witness(vfs) };
    if let Some(code) = session.as_deref().and_then(|session| failing(session, of_witness, Call::Delete)) {
        return code;
    }
    // SAFETY: as SQLite called us, with the wrapped VFS's own pointer.
    let code = unsafe {
        let vfs = wrapped_vfs(vfs);
        (*vfs).xDelete.expect("a VFS deletes files")(vfs, name, directory)
    };
    if let (OK, Some(session)) = (code, session) {
        session.note(Entry::Delete { kind: kind_of(&path), directory: directory != 0 });
    }
    code
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a name.
    let session = unsafe { path_of(name) }.as_deref().and_then(Session::of);
    // SAFETY: SQLite passes the VFS that it calls.
    let of_witness = unsafe { of_witness(vfs) };
    if let Some(code) = session.as_deref().and_then(|session| failing(session, of_witness, Call::Access)) {
        return code;
    }
    // SAFETY: as SQLite called us, with the wrapped VFS's own pointer.
    unsafe {
        let vfs = wrapped_vfs(vfs);
        (*vfs).xAccess.expect("a VFS looks at files")(vfs, name, flags, out)
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: an open file of ours; the box is taken back once, for a closed file is never called again.
    unsafe {
        let (wrapped, methods, _) = parts(file);
        let code = methods.xClose.expect("a file closes")(wrapped);
        let watch = (*file.cast::<Shim>()).watch;
        (*file.cast::<Shim>()).watch = ptr::null_mut();
        if !watch.is_null() {
            Box::from_raw(watch).session.closed();
        }
        code
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file of ours, and `length` readable bytes.
    unsafe {
        let (wrapped, methods, mut watch) = parts(file);
        if let Some(code) = gate(watch.as_deref_mut(), Call::Write) {
            return code;
        }
        let code = methods.xWrite.expect("a file writes")(wrapped, bytes, length, offset);
        if let (OK, Some(watch)) = (code, watch) {
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize).to_vec();
            watch.session.note(Entry::Write { kind: watch.kind, offset: offset as u64, bytes });
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file of ours.
    unsafe {
        let (wrapped, methods, mut watch) = parts(file);
        if let Some(code) = gate(watch.as_deref_mut(), Call::Truncate) {
            return code;
        }
        let code = methods.xTruncate.expect("a file truncates")(wrapped, size);
        if let (OK, Some(watch)) = (code, watch) {
            watch.session.note(Entry::Truncate { kind: watch.kind, size: size as u64 });
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let (wrapped, methods, watch) = unsafe { parts(file) };
    let Some(watch) = watch else {
        // SAFETY: as above.
        return unsafe { methods.xSync.expect("a file syncs")(wrapped, flags) };
    };
    if let Some(code) = failing(&watch.session, watch.of_witness, Call::Sync) {
        watch.session.note(Entry::SyncFailed(watch.kind));
        return code;
    }
    watch.session.note(Entry::Sync { kind: watch.kind, directory: watch.syncs_directory });
    watch.syncs_directory = false;
    OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file of ours.
    unsafe {
        let (wrapped, methods, mut watch) = parts(file);
        // SQLite does not ask whether a lock could be given back.
        if flags & ffi::SQLITE_SHM_UNLOCK == 0 {
            if let Some(code) = gate(watch.as_deref_mut(), Call::ShmLock) {
                return code;
            }
            if let Some(watch) = watch.filter(|watch| offset == WRITE_LOCK && !watch.of_witness) {
                watch.session.before_writing();
            }
        }
        methods.xShmLock.expect("a file of shared memory")(wrapped, offset, count, flags)
    }
}

/// Methods that pass the call on, through the gate if there is a call to count.
macro_rules! pass_on {
    ($($name:ident, $method:ident, $call:expr, ($($arg:ident: $type:ty),*);)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) -> c_int {
            // SAFETY: an open file of ours; the arguments are SQLite's own.
            unsafe {
                let (wrapped, methods, watch) = parts(file);
                let call: Option<Call> = $call;
                if let Some(code) = call.and_then(|call| gate(watch, call)) {
                    return code;
                }
                methods.$method.expect("a method of this version")(wrapped $(, $arg)*)
            }
        }
    )*};
}

pass_on! {
    read, xRead, Some(Call::Read), (to: *mut c_void, length: c_int, offset: ffi::sqlite3_int64);
    size, xFileSize, Some(Call::Size), (out: *mut ffi::sqlite3_int64);
    lock, xLock, Some(Call::Lock), (level: c_int);
    unlock, xUnlock, None, (level: c_int);
    check_reserved_lock, xCheckReservedLock, None, (out: *mut c_int);
    control, xFileControl, None, (what: c_int, arg: *mut c_void);
    sector_size, xSectorSize, None, ();
    device_characteristics, xDeviceCharacteristics, None, ();
    shm_map, xShmMap, Some(Call::ShmMap), (region: c_int, size: c_int, extend: c_int, out: *mut *mut c_void);
    shm_unmap, xShmUnmap, None, (delete: c_int);
    fetch, xFetch, None, (offset: ffi::sqlite3_int64, length: c_int, out: *mut *mut c_void);
    unfetch, xUnfetch, None, (offset: ffi::sqlite3_int64, page: *mut c_void);
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: an open file of ours.
    unsafe {
        let (wrapped, methods, _) = parts(file);
        methods.xShmBarrier.expect("a file of shared memory")(wrapped);
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};
