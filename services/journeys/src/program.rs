//! A journey as a run walks it: a flat list of operations, so that a run's place is one number.
//!
//! The same journey compiles to the same list in every version of this program: places are kept in states.

use std::sync::Arc;

use definitions::{Action, Expression, Journey, MessageStep, Step, WaitStep};

/// What a run does at a place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Waits.
    Wait(WaitStep),
    /// Asks for a message.
    Message(MessageStep),
    /// Goes on if the condition holds, else to `otherwise`.
    Branch {
        /// The condition.
        condition: Expression,
        /// Where to go on if it does not hold.
        otherwise: usize,
    },
    /// Goes on elsewhere.
    Jump(usize),
    /// Ends the run.
    End(Option<Arc<str>>),
}

/// An operation and the step that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) label: Arc<str>,
    pub(crate) operation: Operation,
}

/// The operations of a journey; behind the last one the run is completed.
pub(crate) fn compile(journey: &Journey) -> Vec<Place> {
    let mut program = Vec::new();
    append(&journey.steps, &mut program);
    program
}

fn append(steps: &[Step], program: &mut Vec<Place>) {
    for step in steps {
        let place = |operation| Place { label: Arc::clone(&step.label), operation };
        match &step.action {
            Action::Wait(wait) => program.push(place(Operation::Wait(wait.clone()))),
            Action::Message(message) => program.push(place(Operation::Message(message.clone()))),
            Action::End { reason } => program.push(place(Operation::End(reason.clone()))),
            Action::When(when) => {
                let branch = program.len();
                program.push(place(Operation::Branch { condition: when.condition.clone(), otherwise: 0 }));
                append(&when.then, program);
                let jump = program.len();
                program.push(place(Operation::Jump(0)));
                let otherwise = program.len();
                append(&when.otherwise, program);
                let end = program.len();
                program[jump].operation = Operation::Jump(end);
                program[branch].operation = Operation::Branch { condition: when.condition.clone(), otherwise };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use definitions::{Definition, Kind, parse_document};

    use super::*;

    /// Places are kept in states: what this says may never change for a journey that it already says it of.
    #[test]
    fn a_journey_compiles_to_the_same_places_for_ever() {
        let text = "
journey: j
trigger: Product Added
steps:
  - wait: 1h
  - when: \"true\"
    then:
      - message: { as: first, template: t }
      - when: \"false\"
        then: [ end ]
    else:
      - wait: 2h
  - message: { template: t }
";
        let Ok(Definition::Journey(journey)) = parse_document(Kind::Journey, "j", text) else {
            panic!("the journey can be read");
        };
        let told: Vec<String> = compile(&journey)
            .iter()
            .map(|place| {
                let operation = match &place.operation {
                    Operation::Wait(_) => "wait".to_owned(),
                    Operation::Message(_) => "message".to_owned(),
                    Operation::Branch { otherwise, .. } => format!("branch {otherwise}"),
                    Operation::Jump(target) => format!("jump {target}"),
                    Operation::End(_) => "end".to_owned(),
                };
                format!("{} {operation}", place.label)
            })
            .collect();
        assert_eq!(
            told,
            [
                "1 wait",
                "2 branch 7",
                "first message",
                "2.then.2 branch 6",
                "2.then.2.then.1 end",
                "2.then.2 jump 6",
                "2 jump 8",
                "2.else.1 wait",
                "3 message",
            ]
        );
    }
}
