/* SPDX-License-Identifier: MIT */
/* signal_verbs.h: what the verbs of stoa signal share. */
#ifndef STOA_TOOL_SIGNAL_VERBS_H
#define STOA_TOOL_SIGNAL_VERBS_H

#include "noun.h"

int tool_signal_list(int argc, char **argv);
int tool_signal_send(int argc, char **argv);
int tool_signal_wait(int argc, char **argv);
int tool_signal_watch(int argc, char **argv);

#endif
