/* SPDX-License-Identifier: BSD-2-Clause */
/* Without leaves of several entries (span.h): nobody makes any, whatever pt_live.contig says. */
#ifndef PT_SPAN_NONE_H
#define PT_SPAN_NONE_H

#define ent_span(f, h, e)                0u
#define ent_join(f, h, k, e)             (e)
#define ent_part(f, h, i, e)             ((void)(h), (void)(i), (e))
#define span_for(f, pt, h, at, n, cap)   0u
#define span_run(f, pt, h, k, n, v, run) ((void)(k), (uint64_t)0)
#define span_part(f, pt, w)              ((void)0)

#endif
