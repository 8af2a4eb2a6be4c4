/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Error numbers. Every function that can fail returns 0 or one of these, negated.
 * The values are Linux's (asm-generic/errno-base.h, errno.h), so that a Linux front end passes
 * them through unchanged; hosted builds use the system's own header with the same values.
 */
#ifndef TENON_ERRNO_H
#define TENON_ERRNO_H

#if __STDC_HOSTED__
#include <errno.h>
#else
#define EPERM      1   /* the caller has no right to this object */
#define ENOENT     2   /* no such object (id, device, request) */
#define EINTR      4   /* stopped early on purpose; call again */
#define E2BIG      7   /* more than the call can take at once */
#define EAGAIN     11  /* made progress or raced; call again */
#define ENOMEM     12  /* no frame or table page left; nothing changed */
#define EFAULT     14  /* an address that names nothing the caller may use */
#define EBUSY      16  /* in use: pinned, attached, running, pending */
#define EEXIST     17  /* already there */
#define ENODEV     19  /* no such device, or not one that can be assigned */
#define EINVAL     22  /* malformed: alignment, range, flags */
#define ENOSPC     28  /* a bounded table is full */
#define ERANGE     34  /* outside the address size of the format */
#define ENOSYS     38  /* unknown operation */
#define EPROTO     71  /* protocol version not supported */
#define EOPNOTSUPP 95  /* the hardware cannot do this live; nothing changed */
#define EALREADY   114 /* the state asked for is the state it has */
#define ETIMEDOUT  110 /* hardware did not answer in time */
#define EIO        5   /* hardware answered with an error */
#endif

#endif
