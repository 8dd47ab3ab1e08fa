/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `outrigger vf ...` on a machine made of files (../vf_manager/support.h), in a process
 * of its own: what it printed and its exit status. It takes the machine for the one it
 * runs on, so that the commands that change something work, too. One test, one machine.
 */
#ifndef CLI_VF_MACHINE_H
#define CLI_VF_MACHINE_H

#include "../vf_manager/support.h"

#define TEXT_BYTES 65536

extern struct fake machine;
/* What the command printed. */
extern char said[TEXT_BYTES], complained[TEXT_BYTES];
/* Called in the command's process before each look at the machine, from 1 on. */
extern void (*before_look)(unsigned number);

/* igb with `vfs` VFs, and where records go (--state-dir for the commands). */
struct fake_pf *machine_open(unsigned vfs);
void machine_close(void);
/* A file in the machine's own folder; its path, until the next one. */
const char *machine_file(const char *text);
/* Runs "outrigger vf WORDS..."; words are separated by blanks. The exit status. */
int run(const char *words);
/* The same with the nth allocation failing; *hit: there was such a one. */
int run_without(unsigned nth, const char *words, bool *hit);
/* run(), and demands the status; then what it said. */
void runs(int status, const char *words);

#endif
