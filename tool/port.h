/* SPDX-License-Identifier: MIT */
/* port.h: what the verbs of `stoa port` share. */
#ifndef STOA_TOOL_PORT_H
#define STOA_TOOL_PORT_H

#include "noun.h"

int tool_port_create(int argc, char **argv);
int tool_port_serve(int argc, char **argv);
int tool_port_call(int argc, char **argv);
int tool_port_stat(int argc, char **argv);
int tool_port_tune(int argc, char **argv);

/* 0 or -errno. */
int tool_port_open(struct stoa_space *space, const char *name, unsigned flags,
                   struct stoa_port **ret_port);

#endif
