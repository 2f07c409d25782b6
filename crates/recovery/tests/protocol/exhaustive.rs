//! Every state that a small world can come to.
//!
//! The first search visits the shortest histories first, so that a counterexample is one that
//! a reader can follow. The nightly searches go deep first, which needs less memory.

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Path, Property};

use crate::properties::{self, ALWAYS};
use crate::world::{Shape, Step, World};

/// No history of a small world has more steps.
const LONGEST: usize = 30;

impl Model for Shape {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend(world.steps(self));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        world.take(self, step);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = Vec::from(ALWAYS.map(|(name, holds)| Property::always(name, holds)));
        properties.push(Property::sometimes(
            "all is done",
            properties::all_is_published,
        ));
        if self.crashes > 0 {
            properties.push(Property::sometimes("a run resumes", properties::resumes));
            properties.push(Property::sometimes(
                "there are orphans",
                properties::has_orphans,
            ));
        }
        if self.epochs > 1 {
            properties.push(Property::sometimes(
                "a commit skips epochs",
                properties::skips,
            ));
        }
        if self.stalls > 0 {
            properties.push(Property::sometimes(
                "a run is fenced",
                properties::turns_away,
            ));
        }
        properties
    }
}

/// The shortest history in which a property doesn't hold.
pub(crate) fn counterexample(shape: &Shape, property: &'static str) -> Option<Path<World, Step>> {
    (1..=LONGEST).find_map(|steps| {
        let checker = shape
            .clone()
            .checker()
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .target_max_depth(steps)
            .spawn_bfs()
            .join();
        checker.discovery(property)
    })
}

/// One worker with one item, and two crashes: what it takes to count an item twice.
pub(crate) fn crashing_twice() -> Shape {
    Shape {
        inputs: vec![vec![0]],
        partitions: 2,
        epochs: 2,
        crashes: 2,
        ..Shape::default()
    }
}

/// One worker that goes on while another execution has begun.
pub(crate) fn taken_for_dead() -> Shape {
    Shape {
        crashes: 0,
        stalls: 1,
        ..crashing_twice()
    }
}

/// One worker that has two items of one key, which has no state after the second.
fn forgetting() -> Shape {
    Shape {
        inputs: vec![vec![0, 0]],
        crashes: 1,
        ..crashing_twice()
    }
}

fn searcher(shape: Shape) -> CheckerBuilder<Shape> {
    shape.checker().threads(2)
}

#[cfg(not(any(
    feature = "unsound-no-execution-scope",
    feature = "unsound-no-fencing",
    feature = "unsound-sinks-do-not-gate"
)))]
mod sound {
    use super::*;
    use crate::properties::{
        ACCEPTS_ITS_STORE, COMES_TO_AN_END, ENDS_WHEN_DONE, FENCED_IS_WITHOUT_EFFECT,
        KEEPS_WHAT_IS_NEEDED, LOADS_THE_FOLD, NEVER_GOES_BACK, NOTHING_IS_LOST, ONE_PATH,
        PUBLISHES_ONCE,
    };
    use crate::world::Sabotage;

    #[test]
    fn one_worker_crashes_twice() {
        check(crashing_twice());
    }

    #[test]
    fn key_is_forgotten() {
        check(forgetting());
    }

    #[test]
    fn two_workers_crash() {
        check(Shape {
            inputs: vec![vec![0], vec![0]],
            crashes: 1,
            ..crashing_twice()
        });
    }

    #[test]
    fn two_workers_have_a_plain_sink() {
        check(Shape {
            inputs: vec![vec![0], vec![0]],
            epochs: 1,
            plain_sink: true,
            crashes: 1,
            ..crashing_twice()
        });
    }

    #[test]
    fn one_worker_is_taken_for_dead() {
        check(taken_for_dead());
    }

    /// The first may go on while the second takes over, and the second while the third does.
    #[test]
    fn two_in_a_row_are_taken_for_dead() {
        check(Shape {
            epochs: 1,
            stalls: 2,
            ..taken_for_dead()
        });
    }

    #[test]
    fn acknowledgements_overtake_each_other_and_one_is_lost() {
        check(Shape {
            epochs: 1,
            crashes: 1,
            delays: true,
            losses: 1,
            ..crashing_twice()
        });
    }

    #[test]
    fn drain_ends_a_run_and_the_next_goes_on() {
        check(Shape {
            crashes: 1,
            drains: 1,
            ..crashing_twice()
        });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn three_workers_crash() {
        check_deep(Shape {
            inputs: vec![vec![0], vec![0], vec![1]],
            crashes: 1,
            ..crashing_twice()
        });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn two_workers_crash_twice() {
        check_deep(Shape {
            inputs: vec![vec![0], vec![0]],
            ..crashing_twice()
        });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn two_workers_have_three_epochs() {
        check_deep(Shape {
            inputs: vec![vec![0], vec![0]],
            epochs: 3,
            crashes: 1,
            ..crashing_twice()
        });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn two_workers_are_taken_for_dead() {
        check_deep(Shape {
            inputs: vec![vec![0], vec![0]],
            crashes: 0,
            stalls: 1,
            ..crashing_twice()
        });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn key_is_forgotten_in_three_epochs() {
        check_deep(Shape {
            inputs: vec![vec![0, 0]],
            epochs: 3,
            ..crashing_twice()
        });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn one_worker_crashes_and_is_taken_for_dead() {
        check_deep(Shape {
            crashes: 1,
            stalls: 1,
            ..crashing_twice()
        });
    }

    #[test]
    #[ignore = "takes minutes"]
    fn acknowledgements_of_two_epochs_overtake_each_other() {
        check_deep(Shape {
            crashes: 1,
            delays: true,
            losses: 1,
            ..crashing_twice()
        });
    }

    /// A property that can't fail says nothing. Each of these breaks a rule outside of the
    /// protocol's own code, and must be noticed.
    #[test]
    fn every_property_can_fail() {
        let crashing = crashing_twice();
        let forgetting = forgetting();
        let taken_over = taken_for_dead();
        for (sabotage, shape, property) in [
            (Sabotage::LoadNewestPosition, &crashing, LOADS_THE_FOLD),
            (Sabotage::ForgetHistory, &crashing, NEVER_GOES_BACK),
            (Sabotage::CollectAhead, &forgetting, KEEPS_WHAT_IS_NEEDED),
            (Sabotage::IgnoreFence, &taken_over, FENCED_IS_WITHOUT_EFFECT),
            (Sabotage::PublishAgain, &crashing, PUBLISHES_ONCE),
            (Sabotage::LoadNewestPosition, &crashing, ONE_PATH),
            (Sabotage::DiscardCommitted, &crashing, COMES_TO_AN_END),
            (Sabotage::DiscardCommitted, &crashing, NOTHING_IS_LOST),
            (Sabotage::DiscardCommitted, &crashing, ENDS_WHEN_DONE),
            (Sabotage::PublishEarly, &crashing, ACCEPTS_ITS_STORE),
            (Sabotage::LoseCommits, &crashing, ACCEPTS_ITS_STORE),
        ] {
            let shape = Shape {
                sabotage: Some(sabotage),
                ..shape.clone()
            };
            let found = counterexample(&shape, property).is_some();
            assert!(found, "{sabotage:?} must be noticed by {property}");
        }
    }

    fn check(shape: Shape) {
        expect_all(&searcher(shape).spawn_bfs().join());
    }

    fn check_deep(shape: Shape) {
        expect_all(&searcher(shape).spawn_dfs().join());
    }

    #[allow(clippy::print_stdout, reason = "how much was visited is the result")]
    fn expect_all(checker: &impl Checker<Shape>) {
        let states = checker.unique_state_count();
        println!("{states} states, up to {} steps", checker.max_depth());
        checker.assert_properties();
    }
}
