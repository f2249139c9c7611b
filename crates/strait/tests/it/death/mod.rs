pub(crate) mod watch;
