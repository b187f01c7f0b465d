//! Laws of boot assessment, on a machine that systemd-boot starts and whose power goes between any two effects.

use super::*;
use proptest::prelude::*;

/// How an image behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It comes up and stays up.
    Good,
    /// It does not come up.
    Panics,
    /// It comes up, and its checks fail.
    Ill,
}

/// What a user, or fate, does.
#[derive(Debug, Clone)]
enum Act {
    Stage(usize),
    Apply(usize),
    Soak,
    Rollback,
    Abandon,
    Forget(usize),
    Reboot,
}

fn image(number: usize) -> Image {
    Image { id: ImageId::from_bytes([number as u8; 32]), version: format!("{number}") }
}

/// A machine as it really is: `truth` is what the blocks of a slot hold, whatever its label says.
#[derive(Debug, Clone)]
struct Machine {
    system: System,
    truth: [Option<Image>; 2],
    kinds: Vec<Kind>,
    given_up: Vec<ImageId>,
}

impl Machine {
    fn new(mut kinds: Vec<Kind>) -> Self {
        kinds[0] = Kind::Good;
        let first = SlotView { content: Content::Complete(image(0)), entry: Some(Entry::Blessed) };
        Self {
            system: System { running: Slot::A, slots: [first, SlotView::EMPTY], memory: Memory::default() },
            truth: [Some(image(0)), None],
            kinds,
            given_up: Vec::new(),
        }
    }

    fn kind(&self, image: &Image) -> Kind {
        self.kinds[image.version.parse::<usize>().unwrap()]
    }

    /// Carries out effects, and loses power before the one with the number `cut`. Returns whether the system that
    /// asked for them still runs.
    fn carry_out(&mut self, effects: &[Effect], cut: usize) -> bool {
        for (index, effect) in effects.iter().enumerate() {
            let runs = self.system.running;
            if let Effect::Invalidate { slot, .. }
            | Effect::Write { slot, .. }
            | Effect::Clear { slot }
            | Effect::Stamp { slot, .. } = effect
            {
                assert_ne!(*slot, runs, "the running slot is written: {effect:?}");
                assert_eq!(
                    self.system.standing(runs),
                    Standing::Blessed,
                    "not the only blessed slot: {effect:?}"
                );
                let entry = self.system.slot(*slot).entry;
                assert_eq!(entry, None, "an entry of a slot that is written: {effect:?}");
            }
            if let Effect::Write { slot, .. } = effect {
                self.truth[*slot as usize] = None;
            }
            if index == cut {
                return false;
            }
            match effect {
                Effect::Write { slot, image } => self.truth[*slot as usize] = Some(image.clone()),
                Effect::Verify { slot, image } => {
                    assert_eq!(self.truth[*slot as usize].as_ref(), Some(image));
                }
                Effect::Install { image, .. } => {
                    assert!(!self.given_up.contains(&image.id), "{image:?} was given up");
                }
                Effect::Remember { image, .. } => self.given_up.push(image.id),
                Effect::Forget { id } => self.given_up.retain(|given_up| given_up != id),
                Effect::Reboot { .. } => return false,
                _ => {}
            }
            self.system = self.system.clone().after(effect);
        }
        true
    }

    /// Firmware and systemd-boot until something stays up. Returns how many starts that took.
    fn start(&mut self) -> usize {
        for starts in 1..=2 * usize::from(TRIES) + 1 {
            let slot = self.choose().expect("an entry");
            let view = self.system.slot(slot).clone();
            let image = view.image().expect("an entry of a whole slot").clone();
            assert_eq!(
                self.truth[slot as usize].as_ref(),
                Some(&image),
                "the slot holds what its label says"
            );
            self.system.running = slot;
            if let Some(Entry::Counted(counter)) = view.entry {
                let left = counter.left.saturating_sub(1);
                let counter = BootCounter { left, done: counter.done + 1 };
                self.system.slots[slot as usize].entry = Some(Entry::Counted(counter));
            }
            if self.kind(&image) == Kind::Panics {
                continue;
            }
            self.event(&Event::Boot, usize::MAX);
            if self.kind(&image) == Kind::Ill {
                self.event(&Event::Unhealthy("a unit failed".into()), usize::MAX);
                if self.system.standing(slot) == Standing::Trial {
                    continue;
                }
            }
            return starts;
        }
        panic!("nothing stays up: {self:?}");
    }

    /// As systemd-boot sorts: no tries left last, then the newest version.
    fn choose(&self) -> Option<Slot> {
        let key = |slot: &Slot| {
            let entry = self.system.slot(*slot).entry;
            let spent = matches!(entry, Some(Entry::Counted(BootCounter { left: 0, .. })));
            let version = match &self.system.slot(*slot).content {
                Content::Complete(image) => image.version.parse().unwrap(),
                _ => 0,
            };
            (!spent, version)
        };
        [Slot::A, Slot::B].into_iter().filter(|slot| self.system.slot(*slot).entry.is_some()).max_by_key(key)
    }

    fn event(&mut self, event: &Event, cut: usize) -> bool {
        match step(self.system.clone(), event) {
            Ok((after, effects)) => {
                let up = self.carry_out(&effects, cut);
                if up {
                    assert_eq!(self.system, after);
                }
                up
            }
            Err(_) => true,
        }
    }

    fn act(&mut self, act: &Act, cut: usize) {
        let up = match act {
            Act::Stage(n) => self.event(&Event::Stage(image(*n)), cut),
            Act::Apply(n) => self.event(&Event::Apply(image(*n)), cut),
            Act::Soak => self.event(&Event::Healthy, cut),
            Act::Rollback => self.event(&Event::Rollback, cut),
            Act::Abandon => self.event(&Event::Abandon, cut),
            Act::Forget(n) => self.event(&Event::Forget(image(*n).id), cut),
            Act::Reboot => false,
        };
        if !up {
            self.start();
        }
    }
}

fn acts() -> impl Strategy<Value = Vec<(Act, usize)>> {
    let n = 0..6_usize;
    let act = prop_oneof![
        3 => n.clone().prop_map(Act::Stage),
        3 => n.clone().prop_map(Act::Apply),
        2 => Just(Act::Soak),
        1 => Just(Act::Rollback),
        1 => Just(Act::Abandon),
        1 => n.prop_map(Act::Forget),
        2 => Just(Act::Reboot),
    ];
    prop::collection::vec((act, prop_oneof![1 => 0..6_usize, 2 => Just(usize::MAX)]), 0..60)
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    prop::collection::vec(
        prop_oneof![2 => Just(Kind::Good), 1 => Just(Kind::Panics), 1 => Just(Kind::Ill)],
        6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The assertions of the machine hold at each effect: the running slot and the only blessed image are never
    /// written, an entry is of a whole slot, what was given up is not installed. Here: whatever happened, the
    /// machine comes up again with an image that stays up.
    #[test]
    fn a_machine_always_comes_up(kinds in kinds(), acts in acts()) {
        let mut machine = Machine::new(kinds);
        for (act, cut) in &acts {
            machine.act(act, *cut);
            let mut copy = machine.clone();
            copy.start();
            let running = copy.system.slot(copy.system.running).image().unwrap().clone();
            prop_assert_eq!(copy.kind(&running), Kind::Good);
        }
    }

    /// A bad image costs its three tries and is remembered; the same update with the power going at any point
    /// ends where it would have ended.
    #[test]
    fn an_update_converges(kind in prop_oneof![Just(Kind::Good), Just(Kind::Panics), Just(Kind::Ill)], cut in 0..12_usize) {
        let mut machine = Machine::new(vec![Kind::Good, kind]);
        machine.act(&Act::Stage(1), cut);
        machine.act(&Act::Stage(1), usize::MAX);
        machine.act(&Act::Apply(1), cut.wrapping_sub(5));
        machine.act(&Act::Apply(1), usize::MAX);
        let starts = machine.start();
        let running = machine.system.slot(machine.system.running).image().unwrap().clone();
        if kind == Kind::Good {
            prop_assert_eq!((running, starts), (image(1), 1));
            machine.act(&Act::Soak, usize::MAX);
            prop_assert_eq!(machine.system.standing(machine.system.running), Standing::Blessed);
        } else {
            prop_assert_eq!((running, starts), (image(0), usize::from(TRIES) + 1));
            prop_assert!(machine.system.memory.failed.contains_key(&image(1).id));
            let refusal = step(machine.system.clone(), &Event::Stage(image(1))).unwrap_err();
            prop_assert!(matches!(refusal, Refusal::Failed { .. }), "{}", refusal);
        }
    }
}

#[test]
fn the_reason_of_the_last_reboot_is_what_is_remembered() {
    let mut machine = Machine::new(vec![Kind::Good, Kind::Ill]);
    machine.act(&Act::Stage(1), usize::MAX);
    machine.act(&Act::Apply(1), usize::MAX);
    machine.start();
    assert_eq!(machine.system.memory.failed[&image(1).id].reason, "a unit failed");
}

#[test]
fn rollback_goes_back_and_the_image_is_not_taken_until_told_to() {
    let mut machine = Machine::new(vec![Kind::Good, Kind::Good]);
    for act in [Act::Stage(1), Act::Apply(1), Act::Reboot] {
        machine.act(&act, usize::MAX);
    }
    // On trial: no other image may come, and the way back is open.
    let refusal = step(machine.system.clone(), &Event::Stage(image(2))).unwrap_err();
    assert_eq!(refusal, Refusal::OnTrial("1".into()));
    machine.act(&Act::Soak, usize::MAX);
    machine.act(&Act::Rollback, usize::MAX);
    assert_eq!(machine.system.running, Slot::A);
    assert!(matches!(step(machine.system.clone(), &Event::Stage(image(1))), Err(Refusal::Failed { .. })));
    assert_eq!(step(machine.system.clone(), &Event::Rollback).unwrap_err(), Refusal::NothingBefore);
    for act in [Act::Forget(1), Act::Stage(1), Act::Apply(1), Act::Reboot] {
        machine.act(&act, usize::MAX);
    }
    assert_eq!(machine.system.running, Slot::B);
}

#[test]
fn a_memory_is_read_as_it_was_written_and_no_other() {
    let mut memory = Memory::default();
    memory.failed.insert(image(3).id, Failure { version: "3".into(), reason: "by hand".into() });
    let text = serde_json::to_string(&memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
    assert!(serde_json::from_str::<Memory>(&text.replace("\"note\"", "\"not\"")).is_err());
    assert!(serde_json::from_str::<Memory>(&text.replace("0303", "03")).is_err());
}
