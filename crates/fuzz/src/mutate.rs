//! Mutants of what is in a corpus: for a test that needs nothing but `cargo test`.

use sim::random::Random;

/// Changes bytes a little: flips, cuts, copies, numbers at the edge, words that the command table knows.
#[must_use]
pub fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.between(1, 6) {
        let at = random.index(bytes.len() + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => insert(&mut bytes, at, &[random.bits() as u8]),
            3 => {
                let end = at + random.index(bytes.len() - at + 1);
                let piece = bytes[at..end].to_vec();
                insert(&mut bytes, at, &piece);
            }
            4 => {
                let number = *random.pick(&[
                    "-1",
                    "0",
                    "1",
                    "9223372036854775807",
                    "18446744073709551616",
                    "65536",
                ]);
                insert(&mut bytes, at, number.as_bytes());
            }
            _ => {
                let word = random.pick(&command::table::TABLE[..]).name;
                insert(&mut bytes, at, &framed(word, random));
            }
        }
    }
    bytes
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// A whole command of that name with a few arguments.
fn framed(name: &str, random: &mut Random) -> Vec<u8> {
    let mut words = vec![name.as_bytes().to_vec()];
    for _ in 0..random.below(6) {
        let word = *random.pick(&[
            "k",
            "k",
            "1",
            "0",
            "-1",
            "v",
            "id",
            "HOLD",
            "100",
            "WAIT",
            "CREATE",
            "USER",
            "u",
            "SET",
            "f",
            "FIELDS",
            "PX",
            "NX",
            "COUNT",
            "MATCH",
            "*",
            "DATA",
            "GRACE",
            "FENCE",
            "IDLE",
            "MAX",
            "KEEP",
            "99999999999999999999",
        ]);
        words.push(word.as_bytes().to_vec());
    }
    let mut bytes = sim::workload::encode(&words);
    if random.chance(2_000) {
        bytes.push(0xff);
    }
    bytes
}
