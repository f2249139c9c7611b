//! Our server of both programs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use strait::rpc::onc::auth::Flavor;
use strait::rpc::onc::server::ShortLimits;
use strait::rpc::onc::{Context, Refusal, Server, ServerOptions, xdr};

use super::super::examples::kv_server;
use super::every::every_prog::v1::{Dispatcher, Service};
use super::every::{Caller, Everything};
use crate::peer::{say, told};

struct Every;

impl Service for Every {
    async fn mirror(&self, _: &Context, given: Everything) -> Result<Everything, Refusal> {
        Ok(given)
    }

    async fn encoded(&self, _: &Context, given: Everything) -> Result<Vec<u8>, Refusal> {
        xdr::to_vec(&given).map_err(|_| Refusal::SystemError)
    }

    async fn who(&self, call: &Context) -> Result<Caller, Refusal> {
        let Some(sys) = call.sys() else {
            let flavor = call.credential.flavor.0;
            return Ok(Caller {
                flavor,
                ..Caller::default()
            });
        };
        Ok(Caller {
            flavor: Flavor::SYS.0,
            machine: String::from_utf8_lossy(&sys.machine_name).into_owned(),
            uid: sys.uid,
            gid: sys.gid,
            gids: sys.gids.to_vec(),
        })
    }

    async fn fail(&self, _: &Context) -> Result<(), Refusal> {
        Err(Refusal::SystemError)
    }
}

pub(super) fn server(options: ServerOptions) -> Server {
    let mut server = Server::with(options);
    server.add(Dispatcher(Every));
    server.add(kv_server::dispatcher());
    server
}

/// Serves at ports that it says and a local socket of that path, until its input ends. With a
/// second argument it hands out short credentials, and remembers them for so many milliseconds;
/// each line of input is answered by the number of calls with such.
pub(super) fn serve(arguments: &[String]) {
    let mut options = Server::options();
    if let Some(age) = arguments.get(1) {
        options = options.short_credentials(ShortLimits {
            age: Duration::from_millis(age.parse().unwrap()),
            ..ShortLimits::default()
        });
    }
    super::runtime().block_on(async {
        let mut server = server(options);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        say(server.tcp(any).await.unwrap());
        say(server.udp(any).await.unwrap());
        server.local(&arguments[0], 0o600).await.unwrap();
        let running = server.start();
        while tokio::task::spawn_blocking(told).await.unwrap().is_some() {
            say(running.stats().short);
        }
    });
}
