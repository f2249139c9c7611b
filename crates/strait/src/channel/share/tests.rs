//! Ends that several processes hold.
