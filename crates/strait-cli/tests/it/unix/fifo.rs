//! `strait fifo`, beside programs that only know files.

use super::sh;
use crate::world::World;

#[test]
fn what_a_shell_writes_is_received_and_the_other_way() {
    let world = World::new();
    let ran = sh(
        &world,
        "$STRAIT fifo create $DIR/f --mode 0622 && stat -c '%F %a' $DIR/f
        echo two coffees > $DIR/f & $STRAIT fifo recv $DIR/f --timeout 20s; echo $?
        cat $DIR/f & $STRAIT fifo send $DIR/f 'one tea'; wait
        cat $DIR/f | wc -c & head -c 300000 /dev/zero | $STRAIT fifo send $DIR/f; wait
        $STRAIT fifo stat $DIR/f; $STRAIT fifo rm $DIR/f; test -e $DIR/f || echo gone",
    );
    assert_eq!(ran.err, "");
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(
        lines[..5],
        ["fifo 622", "two coffees", "0", "one tea", "300000"]
    );
    assert!(lines[5].contains("mode 0622"), "{ran:?}");
    assert_eq!(lines[6..], ["gone"]);
}

#[test]
fn waiting_ends_in_time_and_takes_nothing() {
    let world = World::new();
    let ran = sh(
        &world,
        "$STRAIT fifo create $DIR/f
        $STRAIT fifo recv $DIR/f --timeout 20ms; echo $?
        $STRAIT fifo send $DIR/f text --timeout 20ms; echo $?
        exec 3<>$DIR/f
        $STRAIT wait fifo:$DIR/f --timeout 20ms; echo $?
        echo kept >&3
        $STRAIT wait fifo:$DIR/f --timeout 20s; echo $?
        read line <&3; echo $line",
    );
    assert_eq!(ran.err, "");
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines[..3], ["124", "124", "124"]);
    assert!(lines[3].starts_with("fifo:"), "{ran:?}");
    assert_eq!(lines[4..], ["0", "kept"]);
}

#[test]
fn writers_come_and_go() {
    let world = World::new();
    let ran = sh(
        &world,
        "$STRAIT fifo create $DIR/f
        $STRAIT fifo recv $DIR/f --keep | head -n 3 &
        for n in 1 2 3; do $STRAIT fifo send $DIR/f $n; done
        while $STRAIT fifo send $DIR/f more --timeout 500ms; do :; done",
    );
    assert!(ran.out.starts_with("1\n2\n3\n"), "{ran:?}");
}

#[test]
fn what_is_no_fifo_is_named_and_left_alone() {
    let world = World::new();
    let ran = sh(
        &world,
        "echo precious > $DIR/file; ln -s file $DIR/link
        $STRAIT fifo send $DIR/file text; echo $?
        $STRAIT fifo recv $DIR/link; echo $?
        $STRAIT fifo rm $DIR/file; echo $?
        $STRAIT fifo create $DIR/file; echo $?
        $STRAIT fifo create $DIR/file --or-open; echo $?
        $STRAIT fifo recv $DIR/missing; echo $?
        $STRAIT fifo create $DIR/no/dir/f; echo $?
        $STRAIT fifo send $DIR/no/dir/f text; echo $?
        cat $DIR/file",
    );
    assert_eq!(ran.out, "125\n125\n1\n1\n1\n125\n1\n125\nprecious\n");
    let missing = ran.err.matches("/no/dir/f: there is no directory ").count();
    assert_eq!(missing, 2, "{ran:?}");
    assert_eq!(ran.err.matches("/no\n").count(), 2, "{ran:?}");
    assert!(
        ran.err.contains("is no FIFO: it is a regular file"),
        "{ran:?}"
    );
    assert!(ran.err.contains("symbolic link"), "{ran:?}");
    assert!(ran.err.contains("`strait fifo create"), "{ran:?}");
}

#[test]
fn all_that_can_be_removed_are_removed() {
    let world = World::new();
    let ran = sh(
        &world,
        "$STRAIT fifo create $DIR/a; $STRAIT fifo create $DIR/c; echo text > $DIR/file
        $STRAIT fifo rm $DIR/a $DIR/missing $DIR/file $DIR/c; echo $?
        ls $DIR",
    );
    assert_eq!(ran.out, "1\nfile\n", "{ran:?}");
    assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
}
