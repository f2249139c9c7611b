"""Does with the System V objects of one key what each line says, and says `@` and what came of it."""

import sys
import sysv_ipc as ipc

KEY = int(sys.argv[1])
held = []


def queue(flags=0):
    return ipc.MessageQueue(KEY, flags, mode=0o600, max_message_size=8192)


def semaphore(undo=False):
    one = ipc.Semaphore(KEY)
    one.undo = undo
    return one


def receive(kind):
    text, kind = queue().receive(type=int(kind))
    return f"{kind} {text.hex()}"


def attached(use):
    segment = ipc.SharedMemory(KEY)
    try:
        return use(segment)
    finally:
        segment.detach()


DOES = {
    "ftok": lambda path, project: ipc.ftok(path, int(project), silence_warning=True),
    "msg.create": lambda: queue(ipc.IPC_CREX).id,
    "msg.send": lambda kind, text="": queue().send(bytes.fromhex(text), type=int(kind)),
    "msg.recv": receive,
    "msg.rm": lambda: queue().remove(),
    "sem.create": lambda value: ipc.Semaphore(KEY, ipc.IPC_CREX, 0o600, int(value)).id,
    "sem.take": lambda units: semaphore().acquire(None, int(units)),
    "sem.give": lambda units: semaphore().release(int(units)),
    "sem.hold": lambda units: semaphore(undo=True).acquire(None, int(units)),
    "sem.value": lambda: semaphore().value,
    "sem.rm": lambda: semaphore().remove(),
    "shm.create": lambda size: ipc.SharedMemory(KEY, ipc.IPC_CREX, 0o600, int(size)).detach(),
    "shm.write": lambda at, text: attached(lambda to: to.write(bytes.fromhex(text), int(at))),
    "shm.read": lambda at, count: attached(lambda of: of.read(int(count), int(at)).hex()),
    "shm.attach": lambda: held.append(ipc.SharedMemory(KEY)),
    "shm.rm": lambda: attached(lambda segment: segment.remove()),
}

for line in sys.stdin:
    verb, *words = line.split()
    try:
        answer = DOES[verb](*words)
    except ipc.ExistentialError:
        answer = "gone"
    print("@" + ("done" if answer is None else str(answer)), flush=True)
