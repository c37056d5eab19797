use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

pub(super) struct Mount {
    pub(super) at: PathBuf,
    pub(super) kind: String,
}

/// The mounts that the caller sees, in the kernel's order.
pub(super) fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

pub(super) fn mount_points() -> io::Result<Vec<PathBuf>> {
    Ok(mounts()?.into_iter().map(|mount| mount.at).collect())
}

/// proc_pid_mountinfo(5): `ID PARENT DEV ROOT MOUNTPOINT OPTIONS [FIELD…] - TYPE SOURCE OPTIONS`.
fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let mut words = line.split(|&byte| byte == b' ');
            let at = unescape(words.nth(4)?);
            let kind = words.skip_while(|word| *word != b"-").nth(1)?;
            Some(Mount { at, kind: String::from_utf8_lossy(kind).into_owned() })
        })
        .collect()
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(value) => {
                bytes.push(value);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_spaces() {
        let text =
            b"36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
                     41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let mounts = parse(text);
        let got: Vec<_> =
            mounts.iter().map(|m| (m.at.to_str().unwrap(), m.kind.as_str())).collect();
        assert_eq!(got, [("/mnt/a b", "ext3"), ("/sys/fs/cgroup/unified", "cgroup2")]);
    }
}
