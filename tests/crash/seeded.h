/* SPDX-License-Identifier: MIT */
/*
 * seeded.h: lets one build of the library have all seeded bugs, one of them
 * switched on by the harness (-b). The library is then compiled with
 * -include tests/crash/seeded.h -DSTOA_SEEDED_BUG=stoa_seeded_bug.
 */
#ifndef CRASH_SEEDED_H
#define CRASH_SEEDED_H

extern unsigned stoa_seeded_bug;

#endif
