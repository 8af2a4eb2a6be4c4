/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef STANDIN_UATOMIC_H
#define STANDIN_UATOMIC_H

#define uatomic_inc(p)    __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST)
#define uatomic_dec(p)    __atomic_fetch_sub(p, 1, __ATOMIC_SEQ_CST)
#define uatomic_read(p)   __atomic_load_n(p, __ATOMIC_RELAXED)
#define uatomic_set(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

#endif
