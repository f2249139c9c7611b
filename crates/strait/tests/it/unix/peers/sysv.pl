# Does with the System V objects of one key what each line says, and says `@` and what came of it.

use strict;
use warnings;
use IPC::Msg;
use IPC::Semaphore;
use IPC::SharedMem;
use IPC::SysV qw(ftok IPC_CREAT IPC_EXCL SEM_UNDO);

$| = 1;
my ($key) = @ARGV;
my $new = IPC_CREAT | IPC_EXCL | 0600;
my @held;

sub queue { IPC::Msg->new($key, $_[0] // 0) // die }
sub set { IPC::Semaphore->new($key, 1, $_[0] // 0) // die }
sub segment { IPC::SharedMem->new($key, $_[0] // 0, $_[1] // 0) // die }
sub done { $_[0] or die; 'done' }

my %does = (
    'ftok' => sub { ftok($_[0], 0 + $_[1]) // die },
    'msg.create' => sub { queue($new)->id },
    'msg.send' => sub { done(queue()->snd($_[0], pack('H*', $_[1] // ''))) },
    'msg.recv' => sub {
        my $type = queue()->rcv(my $text, 8192, $_[0]) // die;
        "$type " . unpack('H*', $text);
    },
    'msg.rm' => sub { done(queue()->remove) },
    'sem.create' => sub { my $set = set($new); $set->setval(0, $_[0]); $set->id },
    'sem.take' => sub { done(set()->op(0, -$_[0], 0)) },
    'sem.give' => sub { done(set()->op(0, $_[0], 0)) },
    'sem.hold' => sub { done(set()->op(0, -$_[0], SEM_UNDO)) },
    'sem.value' => sub { set()->getval(0) // die },
    'sem.rm' => sub { done(set()->remove) },
    'shm.create' => sub { segment($_[0], $new); 'done' },
    'shm.write' => sub {
        my $bytes = pack('H*', $_[1]);
        done(segment()->write($bytes, $_[0], length $bytes));
    },
    'shm.read' => sub { unpack('H*', segment()->read($_[0], $_[1]) // die) },
    'shm.attach' => sub { push @held, segment(); done($held[-1]->attach) },
    'shm.rm' => sub { done(segment()->remove) },
);

while (<STDIN>) {
    my ($verb, @words) = split;
    my $answer = eval { $does{$verb}->(@words) };
    # Another error than that there is none any more ends it.
    die "$verb: $! $@" unless defined $answer or $!{EIDRM} or $!{ENOENT} or $!{EINVAL};
    print '@', $answer // 'gone', "\n";
}
