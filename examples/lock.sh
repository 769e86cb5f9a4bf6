# SPDX-License-Identifier: MIT
# lock.sh: one at a time, from a script.
stoa lock backup -- echo 'nobody else makes a backup now'
stoa lock -n backup -c 'stoa lock -n backup true || echo busy'
stoa lock -s table:0-99 -- echo 'reading the first hundred'
stoa rm backup.range_lock table.range_lock
