#!/bin/sh
# SPDX-License-Identifier: MIT
# queue.sh: a queue made, filled, emptied and removed from the shell.

stoa queue create jobs
printf 'one\ntwo\nthree\n' | stoa queue send jobs
stoa queue recv --count 2 jobs
stoa queue recv --count 1 --exec 'xargs echo did' jobs
stoa rm jobs
