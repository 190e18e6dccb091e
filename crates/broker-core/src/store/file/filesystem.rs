//! Finds a folder's file system, and whether locks in the folder work across hosts.

use std::path::Path;

use crate::context::platform;
use crate::store::{LockScope, StoreAbout};

/// A line of mountinfo (`proc_pid_mountinfo(5)`).
struct Mount<'a> {
    kind: &'a str,
    source: &'a str,
    /// The mount options, such as `vers=4.2,local_lock=none`.
    options: &'a str,
}

/// Network and cluster file systems, by their magic numbers from statfs(2).
const NETWORK: [(u64, &str); 16] = [
    (0x6969, "nfs"),
    (0x0BD0_0BD0, "lustre"),
    (0x00C3_6400, "ceph"),
    (0x0116_1970, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0xAAD7_AAEA, "panfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb"),
    (0x517B, "smbfs"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "afs"),
    (0x786F_4256, "vboxsf"),
];

/// Describes a folder and its file system. If the folder does not exist, uses the nearest parent that exists.
pub(crate) fn about(folder: &Path) -> StoreAbout {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let magic = platform::magic(existing).unwrap_or(UNKNOWN);
    describe(folder, magic, mount(&mounts, &platform::device(existing)).as_ref())
}

/// The magic number of FUSE, also used if the type is unknown: the broker cannot know whether locks work across hosts.
const UNKNOWN: u64 = 0x6573_5546;

fn mount<'a>(mounts: &'a str, device: &str) -> Option<Mount<'a>> {
    let line = mounts.lines().rfind(|line| line.split(' ').nth(2) == Some(device))?;
    let mut rest = line.split_once(" - ")?.1.split(' ');
    Some(Mount { kind: rest.next()?, source: rest.next()?, options: rest.next().unwrap_or_default() })
}

fn describe(folder: &Path, magic: u64, mount: Option<&Mount<'_>>) -> StoreAbout {
    let place = folder.display().to_string();
    let network = NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name);
    let Some(kind) = network else {
        let name = mount.map_or("a local file system", |mount| mount.kind).to_owned();
        return StoreAbout::new(place, name);
    };
    let has = |option: &str| mount.is_some_and(|mount| mount.options.split(',').any(|each| each == option));
    let reach = match kind {
        // By default, an NFS server applies flock(2) locks to all its clients (see nfs(5)).
        "nfs" if has("local_lock=none") => LockScope::Hosts,
        "nfs" if has("local_lock=all") || has("local_lock=flock") || has("nolock") => LockScope::Host,
        "lustre" if has("flock") => LockScope::Hosts,
        "lustre" if has("localflock") => LockScope::Host,
        "ceph" | "gfs2" | "ocfs2" => LockScope::Hosts,
        _ => LockScope::Unknown,
    };
    let name = match mount {
        Some(mount) if mount.kind.starts_with(kind) => format!("{} ({})", mount.kind, mount.source),
        _ => kind.to_owned(),
    };
    StoreAbout { shared: true, reach, ..StoreAbout::new(place, name) }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    /// magic number from statfs(2) | file system and mount options | name | hosts whose processes a lock excludes
    const TABLE: &str = "
        0xEF53     | ext4 /dev/vda rw                                      | ext4            | this host
        0x01021994 | tmpfs tmpfs rw                                        | tmpfs           | this host
        0x6969     | nfs4 srv:/home rw,vers=4.2,proto=tcp,local_lock=none  | nfs4 (srv:/home) | all hosts
        0x6969     | nfs srv:/home rw,vers=3,mountproto=udp,local_lock=none | nfs (srv:/home) | all hosts
        0x6969     | nfs srv:/home rw,vers=3,nolock,local_lock=all         | nfs (srv:/home) | this host, of several
        0x6969     | nfs srv:/home rw,vers=3,local_lock=flock              | nfs (srv:/home) | this host, of several
        0x6969     | nfs srv:/home rw,vers=3                               | nfs (srv:/home) | unknown
        0x0BD00BD0 | lustre mgs@tcp:/l rw,flock,lazystatfs                 | lustre (mgs@tcp:/l) | all hosts
        0x0BD00BD0 | lustre mgs@tcp:/l rw,localflock                       | lustre (mgs@tcp:/l) | this host, of several
        0x0BD00BD0 | lustre mgs@tcp:/l rw,noflock                          | lustre (mgs@tcp:/l) | unknown
        0x00C36400 | ceph mon:/ rw                                         | ceph (mon:/)    | all hosts
        0xFE534D42 | cifs //srv/home rw,vers=3.1.1                         | smb             | unknown
        0x65735546 | fuse.sshfs me@srv: rw                                 | fuse.sshfs (me@srv:) | unknown
        0x47504653 | gpfs gpfs0 rw                                         | gpfs (gpfs0)    | unknown
    ";

    #[test]
    fn mount_type_and_options_decide_if_locks_work_across_hosts() {
        for row in TABLE.lines().filter(|row| row.contains('|')) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let magic = u64::from_str_radix(&cells[0][2..], 16).expect("a number");
            let other_mount = "22 1 0:7 / /tmp rw - tmpfs tmpfs rw";
            let mounts = format!("{other_mount}\n21 1 0:42 / /home rw,relatime shared:1 - {}\n", cells[1]);
            let found = describe(Path::new("/home"), magic, mount(&mounts, "0:42").as_ref());
            let reach = match found.reach {
                LockScope::Host if !found.shared => "this host",
                LockScope::Host => "this host, of several",
                LockScope::Hosts => "all hosts",
                LockScope::Unknown => "unknown",
            };
            assert_eq!((found.on.as_str(), reach), (cells[2], cells[3]), "{row}");
        }
    }
}
