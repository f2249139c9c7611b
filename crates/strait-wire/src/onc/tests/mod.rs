//! Tests of ONC RPC.
