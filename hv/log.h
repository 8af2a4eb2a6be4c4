/* SPDX-License-Identifier: BSD-2-Clause */
/* log.c: the log's ring, beside port_log(). */
#ifndef TENON_HV_LOG_H
#define TENON_HV_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* A line about what the host does wrong may be logged now: so many a second, however often it tries,
 * and how many were left out. They must not push out all else. */
bool log_may(void);
/* `fmt` as port_log()'s, into a buffer; cut to fit. */
void log_text(char *to, uint64_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* boot 0: this one, 1: the one before. Copies up to len bytes from offset; returns how many. */
uint64_t log_read(unsigned boot, uint64_t offset, char *buf, uint64_t len);

void log_init(uint64_t base);
void log_uart(uint64_t base); /* from now on (and what there is so far); 0: no more */
void log_set_panic_off(void);
void log_dying(void); /* this CPU will not come back: log without the lock, on the UART again */

#endif
