//! A volume as a file: a FUSE file system that holds one regular file, `disk`, for a loop device
//! or a file system in user space to use.
//!
//! The process that serves it must never look into the mount itself, and should do nothing else:
//! the kernel may be waiting for it in order to write its own memory back.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, SessionACL, TimeOrNow,
    WriteFlags,
};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use volume::{BLOCK_BYTES, Disk, ReadError, WriteError};

use crate::disk::{AttachedVolume, VolumeError};

/// The name of the one file.
pub const FILE_NAME: &str = "disk";

const FILE: INodeNo = INodeNo(2);
/// Nothing of the file ever changes but its content, which the kernel does not cache.
const ATTRIBUTES_VALID: Duration = Duration::from_secs(3600);
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Requests in the background, read-ahead among them, that the kernel may have under way.
const BACKGROUND_MAX: u16 = 64;
/// One waits in a sync, others go on reading and writing.
const THREADS: usize = 4;

// linux/falloc.h
const FALLOC_KEEP_SIZE: i32 = 0x01;
const FALLOC_PUNCH_HOLE: i32 = 0x02;
const FALLOC_ZERO_RANGE: i32 = 0x10;

/// Who owns the file and who may open it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileOwner {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits of the file.
    pub mode: u16,
}

/// Opens `/dev/fuse` and mounts a FUSE file system at `at`. The kernel sends its requests to the
/// descriptor, see [`serve`]; when its last copy is closed, the mount fails every request.
///
/// The caller is root, or root in a user and mount namespace of its own.
///
/// # Errors
/// What `open` or `mount` says.
pub fn mount_fd(at: &Path, owner: &FileOwner) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/fuse", flags, Mode::empty())?;
    let data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},allow_other,default_permissions",
        device.as_raw_fd(),
        owner.uid,
        owner.gid
    );
    let data = CString::new(data).expect("numbers hold no NUL");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("sealane", at, "fuse.sealane", flags, data.as_c_str())?;
    Ok(device)
}

/// Serves the volume until the file system is unmounted. What was written and not flushed by then
/// is flushed here.
///
/// # Errors
/// What the FUSE device says, or the last flush.
pub fn serve<D>(volume: Arc<AttachedVolume<D>>, fuse: OwnedFd, owner: FileOwner) -> io::Result<()>
where
    D: Disk + Send + Sync + 'static,
{
    // The kernel writes memory back through this process: it must not wait for that itself. This
    // takes a capability that an unprivileged server lacks; it then runs as any FUSE server does.
    let _ = rustix::process::configure_io_flusher_behavior(true);
    let mut config = fuser::Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    let front = FuseFile { volume: volume.clone(), owner };
    fuser::Session::from_fd(front, fuse, SessionACL::All, config)?.run()?;
    match volume.flush() {
        Ok(()) | Err(VolumeError::Frozen) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}

struct FuseFile<D> {
    volume: Arc<AttachedVolume<D>>,
    owner: FileOwner,
}

impl<D: Disk> FuseFile<D> {
    fn size(&self) -> u64 {
        self.volume.size().0
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o555, 0),
            FILE => (FileType::RegularFile, self.owner.mode, self.size()),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: self.owner.uid,
            gid: self.owner.gid,
            rdev: 0,
            blksize: u32::try_from(BLOCK_BYTES).expect("4096"),
            flags: 0,
        })
    }
}

/// What the caller of a system call gets to know. The reason goes to the log, which `status` and
/// an operator read.
fn errno(error: &VolumeError) -> Errno {
    tracing::warn!(%error, "a request for the volume failed");
    match error {
        VolumeError::Write(WriteError::Full) => Errno::ENOSPC,
        VolumeError::Write(WriteError::OutOfRange { .. }) => Errno::EFBIG,
        VolumeError::Read(ReadError::OutOfRange { .. }) => Errno::EINVAL,
        _ => Errno::EIO,
    }
}

fn answer(result: Result<(), VolumeError>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(&error)),
    }
}

impl<D: Disk + Send + Sync + 'static> Filesystem for FuseFile<D> {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Limits that an older kernel lowers are fine as they come.
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(FILE) {
            Some(file) if parent == INodeNo::ROOT && name == FILE_NAME => {
                reply.entry(&ATTRIBUTES_VALID, &file, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&ATTRIBUTES_VALID, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Times are accepted and forgotten; size, owner and mode are the volume's.
    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let fixed = mode.is_some() || uid.is_some() || gid.is_some();
        match self.attributes(inode) {
            Some(_) if fixed => reply.error(Errno::EPERM),
            Some(attributes) if size.is_some_and(|size| size != attributes.size) => {
                reply.error(Errno::EPERM);
            }
            Some(attributes) => reply.attr(&ATTRIBUTES_VALID, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn access(&self, _request: &Request, _inode: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // `default_permissions` leaves the decision to the kernel.
        reply.ok();
    }

    fn open(&self, _request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if inode == FILE {
            // The file system above the loop device caches; a second copy of the plaintext here
            // would only cost memory and delay the errors of a write to its flush.
            let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
            reply.opened(FileHandle(0), flags);
        } else {
            reply.error(Errno::EISDIR);
        }
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let available = self.size().saturating_sub(offset).min(u64::from(size));
        let len = usize::try_from(available).expect("a request is shorter than 4 GiB");
        let mut bytes = zeroize::Zeroizing::new(vec![0; len]);
        match self.volume.read(offset.min(self.size()), &mut bytes) {
            Ok(()) => reply.data(&bytes),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.volume.write(offset, bytes) {
            Ok(()) => reply.written(u32::try_from(bytes.len()).expect("at most 1 MiB")),
            Err(error) => reply.error(errno(&error)),
        }
    }

    /// A close; it promises nothing.
    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    /// Never answered with ENOSYS: the kernel would then let every later fsync succeed silently.
    fn fsync(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        answer(self.volume.flush(), reply);
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        answer(self.volume.flush(), reply);
    }

    fn fallocate(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let end = offset.saturating_add(length);
        if mode & FALLOC_KEEP_SIZE == 0 && end > self.size() {
            return reply.error(Errno::EFBIG);
        }
        match mode & !FALLOC_KEEP_SIZE {
            // Every block of the volume may be written as it is.
            0 => reply.ok(),
            FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE => {
                let offset = offset.min(self.size());
                answer(self.volume.trim(offset, end.min(self.size()) - offset), reply);
            }
            _ => reply.error(Errno::EOPNOTSUPP),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if inode != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let entries = [
            (INodeNo::ROOT, FileType::Directory, "."),
            (INodeNo::ROOT, FileType::Directory, ".."),
            (FILE, FileType::RegularFile, FILE_NAME),
        ];
        for ((inode, kind, name), next) in entries.into_iter().zip(1..) {
            if next > offset && reply.add(inode, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        let block = u32::try_from(BLOCK_BYTES).expect("4096");
        reply.statfs(self.size() / u64::from(block), 0, 0, 1, 0, block, 255, block);
    }
}
