# SPDX-License-Identifier: MIT
# At most two at once, whatever becomes of them.
stoa sem create -u -v 2 builds
stoa sem wait builds -- echo one of two
stoa sem value builds
stoa sem wait -n 2 -w 5 builds -- echo all of two
stoa sem value builds
stoa sem rm builds
