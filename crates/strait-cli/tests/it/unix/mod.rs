//! The verbs of Linux and System V.

mod socket;
