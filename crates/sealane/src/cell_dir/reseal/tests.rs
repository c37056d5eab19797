//! A crash after each step of each change, and what the operator does then.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;

use crypto::passphrase::Cost;
use keys::seal_shamir::SharePolicy;
use keys::share::Share;

use super::super::{
    CellDirError, InitOptions, cell_id, init, lock, open_for_supervisor, read_secret, seal_of,
};
use super::*;

const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

/// What seals a cell, before or after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Where the cell has it, or in DIR.
    KeyFile,
    /// In a place of its own: `usb-0.key` or `usb-1.key` beside DIR.
    KeyFileAt(usize),
    Passphrase(&'static str),
    Shares,
}

/// A cell, and what its operator has in hand.
struct Scene {
    temp: tempfile::TempDir,
    dir: CellDir,
    /// Every set of shares that was handed out, the newest last.
    handed_out: RefCell<Vec<Vec<Zeroizing<String>>>>,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let dir = CellDir::at(temp.path().join("sealane.d"));
        let scene = Self { temp, dir, handed_out: RefCell::default() };
        scene.with_option(kind, |seal| {
            let options = InitOptions {
                name: None,
                trust_domain: None,
                account: None,
                region: None,
                seal,
                anchor: None,
            };
            drop(init(&scene.dir, &options).unwrap());
        });
        scene
    }

    fn with_option<T>(&self, kind: Kind, work: impl FnOnce(SealOption<'_>) -> T) -> T {
        let hand_out = |_: Id, shares: &[Share]| {
            self.handed_out.borrow_mut().push(shares.iter().map(Share::to_text).collect());
            Ok(())
        };
        work(match kind {
            Kind::KeyFile => SealOption::KeyFile(None),
            Kind::KeyFileAt(place) => SealOption::KeyFile(Some(self.usb(place))),
            Kind::Passphrase(phrase) => {
                SealOption::Passphrase { passphrase: phrase.as_bytes(), cost: CHEAP }
            }
            Kind::Shares => {
                let policy = SharePolicy::new(2, 3).unwrap();
                SealOption::Shares { policy, hand_out: &hand_out }
            }
        })
    }

    fn usb(&self, place: usize) -> PathBuf {
        self.temp.path().join(format!("usb-{place}.key"))
    }

    /// The secret that the cell asks for: its key file as it lies there, else one of those known.
    fn secret(&self, phrases: &[Kind]) -> Secret {
        let known: Vec<Secret> = match seal_of(&self.dir).unwrap() {
            Seal::KeyFile(_) => vec![read_secret(&self.dir, None).unwrap()],
            Seal::Passphrase(_) => phrases
                .iter()
                .filter_map(|kind| match kind {
                    Kind::Passphrase(phrase) => Some(Zeroizing::new(phrase.as_bytes().to_vec())),
                    _ => None,
                })
                .map(Secret::Passphrase)
                .collect(),
            Seal::Shamir(_) => {
                let sets = self.handed_out.borrow();
                let parse = |line: &Zeroizing<String>| Share::parse(line).ok().unwrap();
                sets.iter()
                    .map(|set| Secret::Shares(set[1..].iter().map(parse).collect()))
                    .collect()
            }
        };
        let opens = |secret: &Secret| check_secret(&self.dir, secret).is_ok();
        known.into_iter().find(opens).expect("a secret that is known opens the cell")
    }

    /// Opens the cell wholly.
    fn opens(&self, secret: &Secret) -> Result<Id, CellDirError> {
        let _lock = lock(&self.dir)?;
        open_for_supervisor(&self.dir, secret).map(|(_, kms)| kms.cell().id)
    }

    fn reseal(&self, secret: &Secret, kind: Kind) -> Result<Resealed, CellDirError> {
        let lock = lock(&self.dir)?;
        self.with_option(kind, |option| reseal(&self.dir, &lock, secret, &option))
    }

    /// The first steps of a change only. Gives how many there are.
    fn cut_short(&self, secret: &Secret, kind: Kind, steps_max: usize) -> usize {
        self.with_option(kind, |option| {
            let (steps, _) = reseal_steps(&self.dir, secret, &option).unwrap();
            let all = steps.len();
            steps.into_iter().take(steps_max).for_each(|step| step().unwrap());
            all
        })
    }
}

#[test]
fn every_change_cut_short_anywhere_leaves_a_cell_that_opens() {
    let (one, two) = (Kind::Passphrase("test phrase"), Kind::Passphrase("another"));
    let changes = [
        (Kind::KeyFile, Kind::KeyFile),
        (Kind::KeyFile, Kind::KeyFileAt(0)),
        (Kind::KeyFileAt(0), Kind::KeyFile),
        (Kind::KeyFileAt(0), Kind::KeyFileAt(1)),
        (Kind::KeyFile, one),
        (Kind::KeyFileAt(0), one),
        (Kind::KeyFileAt(0), Kind::Shares),
        (one, Kind::KeyFile),
        (one, Kind::KeyFileAt(0)),
        (one, two),
        (one, Kind::Shares),
        (Kind::Shares, Kind::KeyFileAt(0)),
        (Kind::Shares, one),
        (Kind::Shares, Kind::Shares),
    ];
    for (from, to) in changes {
        let mut cut = 0;
        loop {
            let scene = Scene::new(from);
            let id = cell_id(&scene.dir).unwrap();
            let steps = scene.cut_short(&scene.secret(&[from]), to, cut);
            let at = format!("{from:?} to {to:?}, cut after {cut} of {steps}");
            let secret = scene.secret(&[from, to]);
            assert_eq!(scene.opens(&secret).unwrap(), id, "{at}");
            match scene.reseal(&secret, to) {
                Ok(_) => {}
                // The change had taken hold, and was finished: a further one is told to wait.
                Err(
                    CellDirError::OldKeyFileThere { path } | CellDirError::KeyFileThere { path },
                ) => {
                    assert!(cut > 0, "{at}");
                    fs::remove_file(path).unwrap();
                    let secret = scene.secret(&[from, to]);
                    scene.reseal(&secret, to).unwrap_or_else(|error| panic!("{at}: {error}"));
                }
                Err(error) => panic!("{at}: {error}"),
            }
            assert_eq!(read_seal(&scene.dir).unwrap().each().len(), 1, "{at}");
            let secret = scene.secret(&[to]);
            assert_eq!(scene.opens(&secret).unwrap(), id, "{at}");
            if cut == steps {
                break;
            }
            cut += 1;
        }
    }
}

#[test]
fn the_old_secret_opens_nothing_after_a_change() {
    let one = Kind::Passphrase("test phrase");
    for (from, to) in [
        (Kind::KeyFile, Kind::KeyFile),
        (Kind::KeyFile, one),
        (one, Kind::Passphrase("another")),
        (Kind::Shares, Kind::Shares),
        (Kind::Shares, Kind::KeyFile),
    ] {
        let scene = Scene::new(from);
        let old = scene.secret(&[from]);
        scene.reseal(&old, to).unwrap();
        assert!(scene.opens(&old).is_err(), "{from:?} to {to:?}");
        assert!(scene.reseal(&old, to).is_err(), "{from:?} to {to:?}");
        assert!(scene.opens(&scene.secret(&[to])).is_ok());
    }
}

#[test]
fn a_key_file_in_the_same_place_is_kept_beside_it() {
    let scene = Scene::new(Kind::KeyFile);
    let (path, old) = (scene.dir.root_key(), with_ending(&scene.dir.root_key(), ".old"));
    let before = fs::read(&path).unwrap();
    let done = scene.reseal(&scene.secret(&[]), Kind::KeyFile).unwrap();
    assert_eq!((done.key_file, done.old_key_file), (Some(path.clone()), Some(old.clone())));
    assert_eq!(fs::read(&old).unwrap(), before);
    assert_ne!(fs::read(&path).unwrap(), before);
    for file in [&path, &old] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = scene.reseal(&scene.secret(&[]), Kind::KeyFile);
    assert!(matches!(again, Err(CellDirError::OldKeyFileThere { path }) if path == old));
    fs::write(scene.usb(0), "a letter").unwrap();
    let taken = scene.reseal(&scene.secret(&[]), Kind::KeyFileAt(0));
    assert!(matches!(taken, Err(CellDirError::KeyFileThere { .. })));
    assert_eq!(fs::read(scene.usb(0)).unwrap(), b"a letter");

    let done = scene.reseal(&scene.secret(&[]), Kind::KeyFileAt(1)).unwrap();
    assert_eq!((done.key_file, done.old_key_file), (Some(scene.usb(1)), Some(path)));
    assert_eq!(read_places(&scene.dir).unwrap().key_file, Some(scene.usb(1)));
    let done = scene.reseal(&scene.secret(&[]), Kind::Shares).unwrap();
    assert_eq!((done.key_file, done.old_key_file), (None, Some(scene.usb(1))));
    assert_eq!(read_places(&scene.dir).unwrap(), Places::default());
}

#[test]
fn shares_that_nobody_took_change_nothing() {
    let scene = Scene::new(Kind::KeyFile);
    let before = fs::read(scene.dir.root_seal()).unwrap();
    let refuse = |_: Id, _: &[Share]| Err(std::io::ErrorKind::BrokenPipe.into());
    let option = SealOption::Shares { policy: SharePolicy::new(2, 3).unwrap(), hand_out: &refuse };
    let lock = lock(&scene.dir).unwrap();
    let refused = reseal(&scene.dir, &lock, &scene.secret(&[]), &option);
    assert!(matches!(refused, Err(CellDirError::HandOut { .. })));
    assert_eq!(fs::read(scene.dir.root_seal()).unwrap(), before);
}

#[test]
fn a_new_root_key_cut_short_anywhere_leaves_a_cell_that_opens() {
    for kind in [Kind::KeyFile, Kind::Passphrase("test phrase"), Kind::Shares] {
        for cut in 0..=3 {
            let at = format!("{kind:?}, cut after {cut}");
            let scene = Scene::new(kind);
            let (secret, before) = (scene.secret(&[kind]), read_seal(&scene.dir).unwrap());
            let old_anchor = fs::read(scene.dir.anchor()).unwrap();
            let (steps, rotated) = rotate_root_steps(&scene.dir, &secret).unwrap();
            assert_eq!(steps.len(), 3);
            assert_eq!(rotated.old, before.root());
            steps.into_iter().take(cut).for_each(|step| step().unwrap());
            if cut == 2 {
                // Between the store and its anchor.
                fs::write(scene.dir.anchor(), &old_anchor).unwrap();
            }
            assert_eq!(scene.opens(&secret).unwrap(), before.cell(), "{at}");
            // Another change finishes or withdraws this one first.
            let done = scene.reseal(&secret, Kind::KeyFileAt(0)).unwrap();
            assert_eq!(done.root, if cut < 2 { rotated.old } else { rotated.new }, "{at}");
            assert_eq!(scene.opens(&scene.secret(&[])).unwrap(), before.cell(), "{at}");
            let seal = read_seal(&scene.dir).unwrap();
            assert_eq!((seal.each().len(), seal.root()), (1, done.root), "{at}");
        }
        let scene = Scene::new(kind);
        let (secret, before) = (scene.secret(&[kind]), fs::read(scene.dir.root_seal()).unwrap());
        let held = lock(&scene.dir).unwrap();
        let rotated = rotate_root(&scene.dir, &held, &secret).unwrap();
        let again = rotate_root(&scene.dir, &held, &secret).unwrap();
        drop(held);
        assert_eq!(again.old, rotated.new);
        assert_eq!(read_seal(&scene.dir).unwrap().root(), again.new);
        assert!(scene.opens(&secret).is_ok());
        fs::write(scene.dir.root_seal(), before).unwrap();
        let error = scene.opens(&secret).unwrap_err();
        assert!(matches!(error, CellDirError::Store(_)), "the old root key opens nothing: {error}");
    }
}
