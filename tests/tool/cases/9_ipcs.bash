# stoa ipcs, ipcmk, ipcrm: util-linux's options and columns.


it "ipcmk makes what ipcs shows and ipcrm removes" <<'CASE'
is "$(stoa ipcs | grep -c 0x)" 0
stoa ipcmk -Q -S 3 -p 600 >made
queue=$(sed -n 's/^Message queue id: //p' made)
set_=$(sed -n 's/^Semaphore id: //p' made)
line=$(stoa ipcs -q | grep "^0x")
is "$(awk '{ print $2, $4, $5, $6 }' <<<"$line")" "$queue 600 0 0"
is "$(stoa ipcs -s | awk '/^0x/ { print $2, $4, $5 }')" "$set_ 600 3"
has "$(stoa ipcs -q -i "$queue")" "mode=0600"
is "$(stoa ipcs -s -i "$set_" | sed -n 's/^nsems = //p')" 3
is "$(stoa ipcs -s -i "$set_" | grep -c '^[012] ')" 3
is "$(stoa ipcrm -v -q "$queue")" "removing message queue id \`$queue'"
complains 1 stoa ipcrm -q "$queue"
complains 1 stoa ipcs -q -i "$queue"
is "$(stoa ipcrm -v -a)" "removing semaphore id \`$set_'"
is "$(stoa ipcs | grep -c 0x)" 0
CASE

it "ipcmk and ipcrm know memory, and keys" <<'CASE'
for i in 1 2; do stoa ipcmk -M 64K; done >/dev/null
is "$(stoa ipcs -m | awk '/^0x/ { print $5, $6 }' | sort -u)" "65536 0"
read -r key id rest < <(stoa ipcs -m | grep ^0x)
exits 0 stoa ipcrm -M "$key"
complains 1 stoa ipcrm -M "$key"
is "$(stoa ipcs -m | grep -c ^0x)" 1
is "$(stoa ipcrm shm "$(stoa ipcs -m | awk '/^0x/ { print $2 }')")" ""
is "$(stoa ipcs -u | sed -n 's/^segments allocated //p')" 0
CASE

it "ipcs shows the limits of the space" <<'CASE'
mkdir -m 700 small
stoa run --space ./small --limits msgmni=7,msgmax=100,semmsl=9 \
	perl -e 'msgget(1, 0600 | 01000) // die'
is "$(stoa ipcs --space ./small -l | sed -n 's/^max queues.*= //p')" 7
is "$(stoa ipcs --space ./small -l | sed -n 's/^max size of m.*= //p')" 100
is "$(stoa ipcs --space ./small -l | sed -n 's/^max semaphores per.*= //p')" 9
CASE

it "ipcs, ipcmk and ipcrm complain before they do anything" <<'CASE'
complains 2 stoa ipcs -i 0
complains 2 stoa ipcs -q -m -i 0
complains 2 stoa ipcs -q -i x
complains 2 stoa ipcs extra
complains 2 stoa ipcmk
complains 2 stoa ipcmk -Q -p 9
complains 2 stoa ipcmk -S many
complains 2 stoa ipcmk -M big
complains 2 stoa ipcrm
complains 2 stoa ipcrm -a=all
complains 2 stoa ipcrm -Q 0
complains 2 stoa ipcrm sem
complains 2 stoa ipcrm nonsense 3
complains 3 stoa ipcs --space "$PWD/nowhere"
stoa ipcmk -Q >/dev/null
complains 2 stoa ipcrm -a -q x
is "$(stoa ipcs -q | grep -c ^0x)" 1
CASE

# The same objects on both sides, made by one program; what must differ (keys,
# identifiers, processes, times) is made equal.
it "ipcs prints what util-linux's prints of the kernel's" <<'CASE'
unshare -i ipcs >/dev/null 2>&1 || skip "no namespace for the kernel's"
[[ $(ipcs --version) == *2.38* ]] || skip "ipcs isn't of the version known"
cat >make.pl <<'PERL'
use IPC::SysV qw(IPC_CREAT IPC_PRIVATE SETVAL);
my $q = msgget(17, IPC_CREAT | 0640) // die;
msgsnd($q, pack("l! a*", 1, "hello"), 0) or die;
my $s = semget(18, 4, IPC_CREAT | 0600) // die;
semctl($s, 2, SETVAL, 5) // die;
my $m = shmget(19, 123456, IPC_CREAT | 0604) // die;
for my $form ("", qw(-t -p -c -l -u --human -b), "-l --human", "-l -b",
              "-u --human", "-q -i $q", "-s -i $s", "-m -i $m",
              "-m -i $m --human", "-q -i $q --human") {
	print "== $form\n";
	system("$ARGV[0] $form") == 0 or die $form;
}
PERL
sed -i 's/print "== .form/$| = 1; my $n = $form; $n =~ s,\\d+,,; print "== $n/' make.pl
same_()
{
	sed -E -e 's/[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} [0-9]{4}/TIME/g' \
		-e 's/[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8}/TIME/g' \
		-e 's/^(0x[0-9a-f]{8}) [0-9]+ +/\1 ID /' \
		-e 's/^[0-9]+ +(root|[0-9a-z]+) /ID \1 /' \
		-e 's/(id|pid)=[0-9]+/\1=N/g' \
		-e 's/ +[0-9]+ +[0-9]+ *$/ N N/' -e 's/[0-9]+ *$/N/' \
		-e 's/(resident|swapped) +[0-9N]+/\1 N/'
}
unshare -i perl make.pl ipcs | same_ >kernel
stoa run perl make.pl "stoa ipcs" | same_ >stoa
[[ $(wc -l <kernel) -gt 100 ]] || fail "too little to compare"
diff kernel stoa || fail "they differ"
CASE
