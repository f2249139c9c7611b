//! What the three mechanisms of System V share: keys, permissions, and what became of an id.
