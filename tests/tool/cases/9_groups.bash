# stoa topic with --group: topics over a network of the test's own.

it "a topic goes over a multicast group, and by way of it into another space" <<'CASE'
unshare -rn true 2>/dev/null || skip "no network namespace allowed"
unshare -rn bash -c '
	PATH=$PATH:/usr/sbin:/sbin
	ip link set lo up || exit 77
	group="--group 239.7.7.7:5000 --interface lo"
	stoa topic sub $group -c 1 news >out &
	# Not a member yet: published again until it has come.
	until [[ -s out ]]; do stoa topic pub $group news "hello, network" || exit 1; done
	wait $! || exit 2
	[[ $(cat out) == "hello, network" ]] || exit 3
	# Larger than a packet, as JSON, of any publisher.
	stoa topic sub $group -J -c 1 news >out2 &
	until [[ -s out2 ]]; do seq 2000 | stoa topic pub $group -a news || exit 4; done
	wait $! || exit 5
	[[ $(json_check text <out2) == "$(seq 2000)" ]] || exit 6
	[[ $(json_check lost <out2) == 0 ]] || exit 7
	# From a topic of one space to one of another.
	mkdir -m 700 there
	here=$STOA_SPACE there=$PWD/there
	stoa -S $here topic create news
	stoa -S $there topic create news
	stoa -S $here topic pub --bridge $group news & one=$!
	stoa -S $there topic sub --bridge $group news & two=$!
	stoa -S $there topic sub -c 1 news >out3 &
	until [[ -s out3 ]]; do stoa -S $here topic pub news bridged || exit 8; done
	wait $! || exit 9
	[[ $(cat out3) == bridged ]] || exit 10
	kill $one $two
	wait $one $two
	exit 0
' || { s=$?; ((s == 77)) && skip "no ip(8)"; fail "exit $s"; }
CASE

it "topic complains of groups that it doesn't understand" <<'CASE'
complains 3 stoa topic pub --group 192.0.2.1:5000 news x
complains 3 stoa topic pub --group 239.1.1.1 news x
complains 3 stoa topic sub --group box news
complains 2 stoa topic sub --group 239.1.1.1:5 --ttl 0 news
complains 2 stoa topic sub --group 239.1.1.1:5 --largest 17M news
complains 2 stoa topic pub --group 239.1.1.1:5 --bridge news x
complains 3 stoa topic pub --group 239.1.1.1:5 --bridge news
complains 3 stoa topic sub --group 239.1.1.1:5 --interface nosuch0 news
CASE
