use super::*;

fn span(sent: u64, told: u64) -> Span<()> {
    Span {
        of: (),
        sent,
        told: Some(told),
    }
}

#[test]
fn a_floor_is_what_was_told_before_the_question() {
    let spans = [span(0, 10), span(5, 20), span(10, 30)];
    let points = [7, 3, 9];
    let floors = sweep(&spans, |number, _| Ok::<u64, ()>(points[number]));
    assert_eq!(floors, Ok(vec![0, 0, 7]));
}

#[test]
fn keys_do_not_know_of_each_other() {
    let mut spans = [(); 2].map(|()| Span {
        of: 'a',
        sent: 0,
        told: Some(1),
    });
    spans[1] = Span {
        of: 'b',
        sent: 5,
        told: Some(6),
    };
    assert_eq!(sweep(&spans, |_, _| Ok::<u64, ()>(4)), Ok(vec![0, 0]));
}

#[test]
fn what_was_never_answered_has_a_floor_too() {
    let mut spans = [span(0, 1), span(2, 3)];
    spans[1].told = None;
    assert_eq!(sweep(&spans, |_, _| Ok::<u64, ()>(4)), Ok(vec![0, 4]));
}
