/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the control interface: one request being answered, and the operations by file. */
#ifndef TENON_CTL_H
#define TENON_CTL_H

#include "vm.h"

/* EL2's own copy of a request; the host may change its page meanwhile, nobody looks. */
struct ctl {
    uint64_t arg[6];
    uint64_t out[8];
    const uint8_t *in; /* data given: in the host's hands, read once and never judged */
    uint64_t in_len;
    uint8_t *data; /* data answered: write only */
    uint64_t len;
};

/* Appends to the answer; false: no room (nothing appended). */
bool ctl_put(struct ctl *c, const void *src, uint64_t len);

/* ctl_info.c */
int ctl_hello(struct ctl *c);
int ctl_info(struct ctl *c);
int ctl_log(struct ctl *c);
int ctl_frames(struct ctl *c);
int ctl_audit(struct ctl *c);
int ctl_events(struct ctl *c);
int ctl_dev_list(struct ctl *c);
int ctl_vm_mem(struct ctl *c);
/* Moves what the SMMU has reported into EL2's ring. `now` false: at most every few milliseconds. */
void ctl_events_drain(bool now);

/* ctl_dom.c: the host's own domains, its mode, its memory given and taken back */
#define CTL_DOMAINS 8u
int ctl_host_mode(struct ctl *c);
int ctl_dom_alloc(struct ctl *c);
int ctl_dom(uint32_t op, struct ctl *c); /* map, unmap, iova, free */
int ctl_dom_attach(struct ctl *c);
int ctl_dom_detach(struct ctl *c);
int ctl_mem_donate(struct ctl *c);
int ctl_mem_reclaim(struct ctl *c);
/* For audits: no domain changes, and no memory is given or taken back, meanwhile. */
void ctl_dom_hold(bool hold);
/* Held: the i-th domain's tree, NULL when it is not in use. */
struct space *ctl_dom_space(uint32_t i);

#endif
