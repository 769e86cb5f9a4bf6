# Programs from Debian that live on these calls, under stoa run.

it "fakeroot's daemon is asked by queues of the space" <<'CASE'
type fakeroot-sysv >/dev/null 2>&1 || skip "there is no fakeroot-sysv"
mkdir tree
echo text >tree/file
stoa run --private -- fakeroot-sysv sh -c '
	set -e
	chown 12:34 tree/file
	mknod tree/null c 1 3
	stat -c "%u:%g %F" tree/file tree/null
	tar cf tree.tar --numeric-owner tree
	stoa ipcs -q | grep -c ^0x' >out
is "$(<out)" "12:34 regular file
0:0 character special file
2"
is "$(tar tvf tree.tar --numeric-owner | awk '/file$/ { print $2 }')" 12/34
# root's fakeroot does what it may
[[ $(id -u) == 0 ]] || is "$(stat -c %u tree/file)" "$(id -u)"
CASE

it "perl's processes meet by queues, sets and memory" <<'CASE'
cat >meet.pl <<'PERL'
use IPC::SysV qw(IPC_CREAT IPC_PRIVATE IPC_RMID SEM_UNDO);
my $q = msgget(IPC_PRIVATE, IPC_CREAT | 0600) // die "msgget: $!";
my $s = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600) // die "semget: $!";
my $m = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) // die "shmget: $!";
shmwrite($m, pack("L", 0), 0, 4) or die "shmwrite: $!";
semop($s, pack("s!3", 0, 1, 0)) or die "semop: $!";
for my $child (1 .. 4) {
	next if fork;
	for (1 .. 250) {
		semop($s, pack("s!3", 0, -1, SEM_UNDO)) or die "semop: $!";
		my $count;
		shmread($m, $count, 0, 4) or die "shmread: $!";
		shmwrite($m, pack("L", 1 + unpack("L", $count)), 0, 4) or die;
		semop($s, pack("s!3", 0, 1, SEM_UNDO)) or die "semop: $!";
	}
	msgsnd($q, pack("l! a*", $child, "child $child"), 0) or die;
	exit 0;
}
for my $child (4, 3, 2, 1) {
	msgrcv($q, my $text, 100, $child, 0) or die "msgrcv: $!";
	print substr($text, length(pack("l!", 0))), "\n";
}
shmread($m, my $count, 0, 4) or die;
print unpack("L", $count), "\n";
1 while wait > 0;
msgctl($q, IPC_RMID, 0) and semctl($s, 0, IPC_RMID, 0) and
	shmctl($m, IPC_RMID, 0) or die "RMID: $!";
PERL
is "$(stoa run perl meet.pl | tr '\n' ' ')" \
	"child 4 child 3 child 2 child 1 1000 "
is "$(stoa ipcs | grep -c ^0x)" 0
CASE

it "python's multiprocessing has its semaphores and memory in the space" <<'CASE'
type python3 >/dev/null 2>&1 || skip "there is no python3"
cat >work.py <<'PYTHON'
import multiprocessing as mp
from multiprocessing import shared_memory

def work(lock, name, turns):
    memory = shared_memory.SharedMemory(name)
    for _ in range(turns):
        with lock:
            number = int.from_bytes(memory.buf[:8], 'little') + 1
            memory.buf[:8] = number.to_bytes(8, 'little')
    memory.close()

if __name__ == '__main__':
    memory = shared_memory.SharedMemory(create=True, size=4096)
    memory.buf[:8] = bytes(8)
    lock = mp.Lock()
    all = [mp.Process(target=work, args=(lock, memory.name, 500))
           for _ in range(4)]
    [p.start() for p in all]
    [p.join() for p in all]
    print(int.from_bytes(memory.buf[:8], 'little'))
    memory.close()
    memory.unlink()
    with mp.Pool(2) as pool:
        print(sum(pool.map(abs, range(-100, 0))))
PYTHON
is "$(stoa run python3 work.py | tr '\n' ' ')" "2000 5050 "
CASE
