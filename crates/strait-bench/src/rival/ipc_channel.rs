//! `rival.ipc-channel`: its channels of bytes, one each way.

use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};

use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

/// What one side holds of both channels.
pub(super) struct Channel {
    to: IpcBytesSender,
    from: IpcBytesReceiver,
}

type Ends = (IpcBytesSender, IpcBytesReceiver);

impl Mechanism for Channel {
    const ID: &'static str = "rival.ipc-channel";
    const ABOUT: &'static str = "ipc-channel, channels of bytes";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Near {
            let (server, name) = IpcOneShotServer::<Ends>::new()?;
            site.tell(name.as_bytes())?;
            let (_, (to, from)) = server.accept()?;
            return Ok(Self { to, from });
        }
        let server = IpcSender::<Ends>::connect(String::from_utf8(site.hear()?)?)?;
        let (there, from) = bytes_channel()?;
        let (to, back) = bytes_channel()?;
        server.send((there, back))?;
        Ok(Self { to, from })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.to.send(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let came = self.from.recv()?;
        let room = buffer.get_mut(..came.len());
        room.ok_or_else(|| Failure::check("longer than sent"))?
            .copy_from_slice(&came);
        Ok(came.len())
    }
}
