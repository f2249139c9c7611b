// Made from kv.x by strait; changes here are lost when it is made again.

use ::strait::rpc::onc;

/// `KEY_MAX`, kv.x:3.
pub const KEY_MAX: u32 = 255;

/// `VALUE_MAX`, kv.x:4.
pub const VALUE_MAX: u32 = 65536;

/// `typedef string key<255>`, kv.x:6.
pub type Key = String;

/// Writes a [`Key`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the value breaks a bound.
pub fn encode_key(value: &str, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
    to.string(value, 255)?;
    Ok(())
}

/// Reads a [`Key`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the bytes are no such value.
pub fn decode_key(from: &mut onc::xdr::Reader<'_>) -> Result<Key, onc::xdr::Error> {
    Ok(from.string(255)?.to_owned())
}

/// `typedef opaque value<65536>`, kv.x:7.
pub type Value = Vec<u8>;

/// Writes a [`Value`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the value breaks a bound.
pub fn encode_value(value: &[u8], to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
    to.opaque(value, 65536)?;
    Ok(())
}

/// Reads a [`Value`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the bytes are no such value.
pub fn decode_value(from: &mut onc::xdr::Reader<'_>) -> Result<Value, onc::xdr::Error> {
    Ok(from.opaque(65536)?.to_vec())
}

/// `enum kv_status`, kv.x:9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
pub enum KvStatus {
    /// `KV_OK`
    #[default]
    KvOk = 0,
    /// `KV_NOT_FOUND`
    KvNotFound = 1,
    /// `KV_FULL`
    KvFull = 2,
}

impl From<KvStatus> for i32 {
    fn from(value: KvStatus) -> Self {
        value as Self
    }
}

impl TryFrom<i32> for KvStatus {
    /// The number, which the enumeration has no name for.
    type Error = i32;

    fn try_from(number: i32) -> Result<Self, i32> {
        match number {
            0 => Ok(Self::KvOk),
            1 => Ok(Self::KvNotFound),
            2 => Ok(Self::KvFull),
            unknown => Err(unknown),
        }
    }
}

impl onc::xdr::Encode for KvStatus {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        to.int(i32::from(*self));
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for KvStatus {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        let at = from.position();
        Self::try_from(from.int()?).map_err(|number| {
            let what = onc::xdr::What::Enum(number);
            onc::xdr::Error { at, what }
        })
    }
}

/// `union get_result`, kv.x:15.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::enum_variant_names, reason = "the names are those of the file")]
#[allow(clippy::large_enum_variant, reason = "the file lays them out")]
pub enum GetResult {
    /// `KV_OK`: `value found`
    KvOk(Value),
    /// Every other `status`.
    Default(KvStatus),
}

impl GetResult {
    /// Numbers with a variant of their own, which `Default` must not hold.
    const LABELS: [i32; 1] = [0];

    /// What the union is chosen by.
    #[must_use]
    pub const fn discriminant(&self) -> KvStatus {
        match self {
            Self::KvOk(..) => KvStatus::KvOk,
            Self::Default(number) => *number,
        }
    }
}

impl onc::xdr::Encode for GetResult {
    fn encode(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        match self {
            Self::KvOk(value) => {
                to.int(0);
                encode_value(value, to)?;
            }
            Self::Default(number) => {
                let number = i32::from(*number);
                if Self::LABELS.contains(&number) {
                    return Err(no_arm(to.position(), number.into()));
                }
                to.int(number);
            }
        }
        Ok(())
    }
}

impl<'a> onc::xdr::Decode<'a> for GetResult {
    fn decode(from: &mut onc::xdr::Reader<'a>) -> Result<Self, onc::xdr::Error> {
        match KvStatus::decode(from)? {
            KvStatus::KvOk => Ok(Self::KvOk(decode_value(from)?)),
            number => Ok(Self::Default(number)),
        }
    }
}

/// `struct entry`, kv.x:23.
///
/// A node of a linked list: what `next` leads to follows it in a `Vec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// `key name`
    pub name: Key,
    /// `unsigned int length`
    pub length: u32,
}

impl Entry {
    fn encode_members(&self, to: &mut onc::xdr::Writer<'_>) -> Result<(), onc::xdr::Error> {
        encode_key(&self.name, to)?;
        to.unsigned(self.length);
        Ok(())
    }

    fn decode_members(from: &mut onc::xdr::Reader<'_>) -> Result<Self, onc::xdr::Error> {
        Ok(Self {
            name: decode_key(from)?,
            length: from.unsigned()?,
        })
    }

    /// Writes a list: a flag before each node, and one at the end.
    ///
    /// # Errors
    ///
    /// Where a node breaks a bound.
    pub fn encode_list(
        list: &[Self],
        to: &mut onc::xdr::Writer<'_>,
    ) -> Result<(), onc::xdr::Error> {
        to.list(list, |to, node| node.encode_members(to))
    }

    /// Reads a list to its end.
    ///
    /// # Errors
    ///
    /// Where the bytes are no such list.
    pub fn decode_list(from: &mut onc::xdr::Reader<'_>) -> Result<Vec<Self>, onc::xdr::Error> {
        from.list(Self::decode_members)
    }
}

/// `typedef entry *entries`, kv.x:28.
pub type Entries = Vec<Entry>;

/// Writes a [`Entries`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the value breaks a bound.
pub fn encode_entries(
    value: &[Entry],
    to: &mut onc::xdr::Writer<'_>,
) -> Result<(), onc::xdr::Error> {
    Entry::encode_list(value, to)?;
    Ok(())
}

/// Reads a [`Entries`] within the bounds of its typedef.
///
/// # Errors
///
/// Where the bytes are no such value.
pub fn decode_entries(from: &mut onc::xdr::Reader<'_>) -> Result<Entries, onc::xdr::Error> {
    Entry::decode_list(from)
}

/// A number that no arm of a union has, or not this one.
const fn no_arm(at: usize, number: i64) -> onc::xdr::Error {
    let what = onc::xdr::What::Arm(number);
    onc::xdr::Error { at, what }
}

/// Program `KV_PROG`, kv.x:30.
pub mod kv_prog {
    /// The number of the program.
    pub const PROGRAM: u32 = 0x2000_0042;

    /// Version `KV_V1`, kv.x:31.
    pub mod v1 {
        use super::super::onc;
        use super::super::onc::xdr::{Decode as _, Encode as _};
        use ::core::future::Future;

        /// The number of the version.
        pub const VERSION: u32 = 1;

        /// The numbers of the procedures.
        pub mod procedures {
            /// `KV_NULL`, kv.x:32.
            pub const KV_NULL: u32 = 0;
            /// `PUT`, kv.x:34.
            pub const PUT: u32 = 1;
            /// `GET`, kv.x:36.
            pub const GET: u32 = 2;
            /// `REMOVE`, kv.x:38.
            pub const REMOVE: u32 = 3;
            /// `LIST`, kv.x:41.
            pub const LIST: u32 = 4;
            /// `TOUCH`, kv.x:44.
            pub const TOUCH: u32 = 5;
        }

        const fn procedure(number: u32) -> onc::Procedure {
            onc::Procedure {
                program: super::PROGRAM,
                version: VERSION,
                number,
            }
        }

        /// Calls the program, and waits for each reply; many threads may call at once.
        #[derive(Clone, Debug)]
        pub struct Client<C = onc::Client>(C);

        impl<C: onc::Call> Client<C> {
            /// Calls over this connection.
            pub const fn over(connection: C) -> Self {
                Self(connection)
            }

            /// The same connection; each call through it may take so long.
            #[must_use]
            pub fn within(&self, limit: ::core::time::Duration) -> Self {
                Self(self.0.within(limit))
            }

            /// `void KV_NULL(void) = 0`, kv.x:32.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn kv_null(&self) -> Result<(), onc::Error> {
                self.0
                    .call(procedure(procedures::KV_NULL), |_| Ok(()), |_| Ok(()))
            }

            /// `kv_status PUT(key, value) = 1`, kv.x:34.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn put(
                &self,
                key: &str,
                value: &[u8],
            ) -> Result<super::super::KvStatus, onc::Error> {
                self.0.call(
                    procedure(procedures::PUT),
                    |to| {
                        super::super::encode_key(key, to)?;
                        super::super::encode_value(value, to)?;
                        Ok(())
                    },
                    |from| {
                        let result = super::super::KvStatus::decode(from)?;
                        Ok(result)
                    },
                )
            }

            /// `get_result GET(key) = 2`, kv.x:36.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn get(&self, key: &str) -> Result<super::super::GetResult, onc::Error> {
                self.0.call(
                    procedure(procedures::GET),
                    |to| {
                        super::super::encode_key(key, to)?;
                        Ok(())
                    },
                    |from| {
                        let result = super::super::GetResult::decode(from)?;
                        Ok(result)
                    },
                )
            }

            /// `bool REMOVE(key) = 3`, kv.x:38.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn remove(&self, key: &str) -> Result<bool, onc::Error> {
                self.0.call(
                    procedure(procedures::REMOVE),
                    |to| {
                        super::super::encode_key(key, to)?;
                        Ok(())
                    },
                    |from| {
                        let result = from.boolean()?;
                        Ok(result)
                    },
                )
            }

            /// `entries LIST(key) = 4`, kv.x:41.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn list(&self, key: &str) -> Result<super::super::Entries, onc::Error> {
                self.0.call(
                    procedure(procedures::LIST),
                    |to| {
                        super::super::encode_key(key, to)?;
                        Ok(())
                    },
                    |from| {
                        let result = super::super::decode_entries(from)?;
                        Ok(result)
                    },
                )
            }

            /// `void TOUCH(key) = 5`, kv.x:44.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub fn touch(&self, key: &str) -> Result<(), onc::Error> {
                self.0.call(
                    procedure(procedures::TOUCH),
                    |to| {
                        super::super::encode_key(key, to)?;
                        Ok(())
                    },
                    |_| Ok(()),
                )
            }

            /// `void TOUCH(key) = 5`, kv.x:44.
            ///
            /// Sends the call and waits for no reply: whether it was done stays unknown.
            ///
            /// # Errors
            ///
            /// Where the call could not be sent.
            pub fn touch_oneway(&self, key: &str) -> Result<(), onc::Error> {
                self.0.call_oneway(procedure(procedures::TOUCH), |to| {
                    super::super::encode_key(key, to)?;
                    Ok(())
                })
            }
        }

        /// Calls the program; many tasks may call at once.
        #[derive(Clone, Debug)]
        pub struct AsyncClient<C = onc::AsyncClient>(C);

        impl<C: onc::AsyncCall> AsyncClient<C> {
            /// Calls over this connection.
            pub const fn over(connection: C) -> Self {
                Self(connection)
            }

            /// The same connection; each call through it may take so long.
            #[must_use]
            pub fn within(&self, limit: ::core::time::Duration) -> Self {
                Self(self.0.within(limit))
            }

            /// `void KV_NULL(void) = 0`, kv.x:32.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn kv_null(&self) -> Result<(), onc::Error> {
                self.0
                    .call(procedure(procedures::KV_NULL), |_| Ok(()), |_| Ok(()))
                    .await
            }

            /// `kv_status PUT(key, value) = 1`, kv.x:34.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn put(
                &self,
                key: &str,
                value: &[u8],
            ) -> Result<super::super::KvStatus, onc::Error> {
                self.0
                    .call(
                        procedure(procedures::PUT),
                        |to| {
                            super::super::encode_key(key, to)?;
                            super::super::encode_value(value, to)?;
                            Ok(())
                        },
                        |from| {
                            let result = super::super::KvStatus::decode(from)?;
                            Ok(result)
                        },
                    )
                    .await
            }

            /// `get_result GET(key) = 2`, kv.x:36.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn get(&self, key: &str) -> Result<super::super::GetResult, onc::Error> {
                self.0
                    .call(
                        procedure(procedures::GET),
                        |to| {
                            super::super::encode_key(key, to)?;
                            Ok(())
                        },
                        |from| {
                            let result = super::super::GetResult::decode(from)?;
                            Ok(result)
                        },
                    )
                    .await
            }

            /// `bool REMOVE(key) = 3`, kv.x:38.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn remove(&self, key: &str) -> Result<bool, onc::Error> {
                self.0
                    .call(
                        procedure(procedures::REMOVE),
                        |to| {
                            super::super::encode_key(key, to)?;
                            Ok(())
                        },
                        |from| {
                            let result = from.boolean()?;
                            Ok(result)
                        },
                    )
                    .await
            }

            /// `entries LIST(key) = 4`, kv.x:41.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn list(&self, key: &str) -> Result<super::super::Entries, onc::Error> {
                self.0
                    .call(
                        procedure(procedures::LIST),
                        |to| {
                            super::super::encode_key(key, to)?;
                            Ok(())
                        },
                        |from| {
                            let result = super::super::decode_entries(from)?;
                            Ok(result)
                        },
                    )
                    .await
            }

            /// `void TOUCH(key) = 5`, kv.x:44.
            ///
            /// # Errors
            ///
            /// Where the call could not be made, or its answer is not success.
            pub async fn touch(&self, key: &str) -> Result<(), onc::Error> {
                self.0
                    .call(
                        procedure(procedures::TOUCH),
                        |to| {
                            super::super::encode_key(key, to)?;
                            Ok(())
                        },
                        |_| Ok(()),
                    )
                    .await
            }

            /// `void TOUCH(key) = 5`, kv.x:44.
            ///
            /// Sends the call and waits for no reply: whether it was done stays unknown.
            ///
            /// # Errors
            ///
            /// Where the call could not be sent.
            pub async fn touch_oneway(&self, key: &str) -> Result<(), onc::Error> {
                self.0
                    .call_oneway(procedure(procedures::TOUCH), |to| {
                        super::super::encode_key(key, to)?;
                        Ok(())
                    })
                    .await
            }
        }

        /// What a server of the program does. Write the methods as `async fn`.
        pub trait Service: Send + Sync + 'static {
            /// `kv_status PUT(key, value) = 1`, kv.x:34.
            fn put(
                &self,
                call: &onc::Context,
                key: super::super::Key,
                value: super::super::Value,
            ) -> impl Future<Output = Result<super::super::KvStatus, onc::Refusal>> + Send;

            /// `get_result GET(key) = 2`, kv.x:36.
            fn get(
                &self,
                call: &onc::Context,
                key: super::super::Key,
            ) -> impl Future<Output = Result<super::super::GetResult, onc::Refusal>> + Send;

            /// `bool REMOVE(key) = 3`, kv.x:38.
            fn remove(
                &self,
                call: &onc::Context,
                key: super::super::Key,
            ) -> impl Future<Output = Result<bool, onc::Refusal>> + Send;

            /// `entries LIST(key) = 4`, kv.x:41.
            fn list(
                &self,
                call: &onc::Context,
                key: super::super::Key,
            ) -> impl Future<Output = Result<super::super::Entries, onc::Refusal>> + Send;

            /// `void TOUCH(key) = 5`, kv.x:44.
            fn touch(
                &self,
                call: &onc::Context,
                key: super::super::Key,
            ) -> impl Future<Output = Result<(), onc::Refusal>> + Send;
        }

        /// Serves the calls of this version by a [`Service`].
        #[derive(Debug)]
        pub struct Dispatcher<S>(pub S);

        impl<S: Service> onc::Program for Dispatcher<S> {
            fn program(&self) -> u32 {
                super::PROGRAM
            }

            fn version(&self) -> u32 {
                VERSION
            }

            #[allow(clippy::too_many_lines, reason = "an arm for each procedure")]
            fn dispatch(
                self: ::std::sync::Arc<Self>,
                context: onc::Context,
                procedure: u32,
                args: &[u8],
                reply: Vec<u8>,
            ) -> Result<onc::Answer, onc::Refusal> {
                match procedure {
                    procedures::KV_NULL => {
                        onc::arguments(&context, args, |_| Ok(()))?;
                        Ok(Box::pin(async { Ok(reply) }))
                    }
                    procedures::PUT => {
                        let (key, value) = onc::arguments(&context, args, |from| {
                            let key = super::super::decode_key(from)?;
                            let value = super::super::decode_value(from)?;
                            Ok((key, value))
                        })?;
                        Ok(Box::pin(async move {
                            let result = self.0.put(&context, key, value).await?;
                            onc::results(reply, |to| {
                                result.encode(to)?;
                                Ok(())
                            })
                        }))
                    }
                    procedures::GET => {
                        let key = onc::arguments(&context, args, |from| {
                            let key = super::super::decode_key(from)?;
                            Ok(key)
                        })?;
                        Ok(Box::pin(async move {
                            let result = self.0.get(&context, key).await?;
                            onc::results(reply, |to| {
                                result.encode(to)?;
                                Ok(())
                            })
                        }))
                    }
                    procedures::REMOVE => {
                        let key = onc::arguments(&context, args, |from| {
                            let key = super::super::decode_key(from)?;
                            Ok(key)
                        })?;
                        Ok(Box::pin(async move {
                            let result = self.0.remove(&context, key).await?;
                            onc::results(reply, |to| {
                                to.boolean(result);
                                Ok(())
                            })
                        }))
                    }
                    procedures::LIST => {
                        let key = onc::arguments(&context, args, |from| {
                            let key = super::super::decode_key(from)?;
                            Ok(key)
                        })?;
                        Ok(Box::pin(async move {
                            let result = self.0.list(&context, key).await?;
                            onc::results(reply, |to| {
                                super::super::encode_entries(&result, to)?;
                                Ok(())
                            })
                        }))
                    }
                    procedures::TOUCH => {
                        let key = onc::arguments(&context, args, |from| {
                            let key = super::super::decode_key(from)?;
                            Ok(key)
                        })?;
                        Ok(Box::pin(async move {
                            self.0.touch(&context, key).await?;
                            Ok(reply)
                        }))
                    }
                    _ => Err(onc::Refusal::ProcedureUnavailable),
                }
            }
        }
    }
}
