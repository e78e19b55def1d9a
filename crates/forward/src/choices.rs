//! What a client has said about its connection, to be said again on each connection to a node that is opened for it.

use command::Arguments;

use crate::plan::Choice;

/// See the module. Each is a whole command, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    auth: Vec<u8>,
    hello: Vec<u8>,
    name: Vec<u8>,
    library_name: Vec<u8>,
    library_version: Vec<u8>,
    db: Vec<u8>,
}

impl Choices {
    /// Takes note of a command that has succeeded; `bytes` is the command.
    pub fn take(&mut self, choice: Choice, arguments: Arguments<'_>, bytes: &[u8]) {
        let place = match choice {
            Choice::Auth => &mut self.auth,
            // Without a version it asks, and changes nothing.
            Choice::Hello if arguments.len() == 1 => return,
            Choice::Hello => &mut self.hello,
            Choice::Select => &mut self.db,
            Choice::SetName => &mut self.name,
            Choice::SetInfo if arguments.is(2, "LIB-NAME") => &mut self.library_name,
            Choice::SetInfo => &mut self.library_version,
            Choice::Reset => {
                *self = Self::default();
                return;
            }
            Choice::Quit | Choice::Notices => return,
        };
        place.clear();
        place.extend_from_slice(bytes);
    }

    /// All of them, in an order in which they are understood, and how many they are.
    pub fn greeting(&self) -> (Vec<u8>, usize) {
        let said = [
            &self.auth,
            &self.hello,
            &self.name,
            &self.library_name,
            &self.library_version,
            &self.db,
        ];
        let said: Vec<&[u8]> = said.iter().map(|s| s.as_slice()).collect();
        let count = said.iter().filter(|command| !command.is_empty()).count();
        (said.concat(), count)
    }
}

/// Whether a `HELLO` also authenticates.
pub fn authenticates(arguments: Arguments<'_>) -> bool {
    (2..arguments.len()).any(|at| arguments.is(at, "AUTH"))
}
