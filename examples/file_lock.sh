# SPDX-License-Identifier: MIT
# file_lock.sh: one at a time at a real file, beside flock(1).
notes=$(mktemp)
stoa lock --file "$notes" -- sh -c "echo hello >>$notes"
stoa lock --file "$notes" -- flock -n "$notes" true || echo 'flock(1) sees it'
stoa lock --file "$notes:0-5" -- stoa lock -n --file "$notes:6-" -- cat "$notes"
rm "$notes"
