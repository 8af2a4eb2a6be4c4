/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load: NVMe commands in flight all over the memory, each page tagged, written to the disk and
 * read back into other pages, every page checked; meanwhile ranges between those pages change
 * between private and shared, and are used by the CPU and the device right before and right after.
 *
 * A page that is given up has no DMA in flight (the machine's model does not wait for it, and a
 * driver would not do that either); its neighbours in the same leaf always may have.
 */
#include "payload.h"

#define CHUNK       512u /* pages in 2M */
#define MAX_CHUNKS  (MAX_PAGES / CHUNK)
#define MAX_JOBS    240u
#define SLOTS       16u
#define PER_COMMAND 16u
#define DUE         1024u /* a power of two, more than jobs can ask for */
#define BIG_EVERY   64u   /* one job in so many converts 2M */
#define WHOLE_EVERY 32u   /* one command in so many is checked byte by byte */
#define CLUSTER     24u   /* jobs in the same 2M, one after the other */
#define EPOCH       16384u /* conversions until all is private again for a moment (1G leaves merge) */
#define SOLO        2u     /* jobs that then run alone */
#define POLL_PER_MS 4u     /* how often to ask what is pending */
#define WARM        12u    /* pending pages read before each poll */
#define COMMAND_MS  30000u /* a command that takes longer is lost */
#define MIX         0x9e3779b97f4a7c15ull

enum { DMA = 1, CONVERTING = 2 }; /* state of a page */

/* A range on its way: private -> shared -> private again, used in between. */
struct job {
    enum { FREE = 0, WANT, WAITING, USING } step;
    bool to_shared, inplace;
    uint32_t page, n;
    uint32_t uses; /* of the device, still to come */
    uint64_t id;
};
struct slot {
    enum { IDLE = 0, WRITING, READING } step;
    bool whole;
    uint64_t tag, since;
    uint64_t address[PER_COMMAND];
};

static uint8_t state[MAX_PAGES];
static uint8_t job_of[MAX_PAGES];   /* job + 1 */
static uint64_t content[MAX_PAGES]; /* tag of what the page shows now; 0: zeros */
static uint64_t behind[MAX_PAGES];  /* of the copy that it does not show */
static uint16_t chunk_dma[MAX_CHUNKS], chunk_jobs[MAX_CHUNKS];

static struct job jobs[MAX_JOBS];
static struct slot slots[SLOTS];
static uint32_t due[DUE], due_in, due_out;
static uint8_t waiting[64]; /* job + 1 whose request has this number modulo 64 */
static uint32_t pages, active, outstanding, flags;
static uint32_t cluster, cluster_left, solo_left, limit;
static uint64_t rng = 88172645463325252ull, tags, asked, confirmed, target, drained_at, commands;
static const uint16_t probe[4] = { 0, 1, 256, 511 };

/* ---- words ---- */

static volatile uint64_t *page_at(uint32_t page)
{
    return (volatile uint64_t *)(TN_GUEST_RAM + (uint64_t)page * PAGE);
}

static uint64_t word(uint64_t tag, uint32_t k)
{
    return tag ? tag ^ k * MIX : 0;
}

static void wrong(uint32_t counter, uint32_t page, uint32_t k, uint64_t want, uint64_t seen)
{
    if (report[R_WRONG_DMA] + report[R_WRONG_CPU] == 0) {
        report[R_FIRST_ADDR] = (uint64_t)page_at(page) + k * 8u;
        report[R_FIRST_WANT] = want;
        report[R_FIRST_SEEN] = seen;
        report[R_FIRST_AT] = confirmed;
        report[R_FIRST_KIND] = counter;
    }
    report[counter]++;
}

static bool check_word(uint32_t counter, uint32_t page, uint32_t k, uint64_t tag)
{
    uint64_t seen = page_at(page)[k], want = word(tag, k);

    if (seen == want) {
        return true;
    }
    wrong(counter, page, k, want, seen);
    return false;
}

/* Read and write a page that nobody else uses now: same words, through this CPU's tables. */
static void touch(uint32_t page)
{
    if (page < FIRST_PAGE || page >= pages || state[page]) {
        return;
    }
    report[R_CPU_TOUCHES] += 2;
    if (check_word(R_WRONG_CPU, page, 0, content[page])) {
        page_at(page)[0] = word(content[page], 0);
    }
}

static void fill(uint32_t page, uint64_t tag, bool whole)
{
    volatile uint64_t *p = page_at(page);

    if (whole) {
        for (uint32_t k = 0; k < PAGE / 8; k++) {
            p[k] = word(tag, k);
        }
    } else {
        for (uint32_t i = 0; i < 4; i++) {
            p[probe[i]] = word(tag, probe[i]);
        }
    }
}

static void check(uint32_t page, uint64_t tag, bool whole)
{
    if (whole) {
        report[R_WHOLE_PAGES]++;
        for (uint32_t k = 0; k < PAGE / 8; k++) {
            (void)check_word(R_WRONG_DMA, page, k, tag);
        }
    } else {
        for (uint32_t i = 0; i < 4; i++) {
            (void)check_word(R_WRONG_DMA, page, probe[i], tag);
        }
    }
}

/* ---- the device ---- */

static uint32_t below(uint32_t n)
{
    return (uint32_t)((random64(&rng) >> 33) % n);
}

/* A page for DMA: one that waits for it, one near the conversions, or any. */
static uint32_t pick(void)
{
    while (due_out != due_in) {
        uint32_t page = due[due_out++ % DUE];

        if (!state[page]) {
            return page;
        }
        if (state[page] == DMA) {
            due[due_in++ % DUE] = page; /* in use already: once more, later */
            break;
        }
    }
    for (uint32_t tries = 0;; tries++) {
        uint32_t page = tries < 4 && (random64(&rng) >> 40 & 1)
                            ? cluster * CHUNK + below(CHUNK)
                            : (uint32_t)FIRST_PAGE + below(pages - (uint32_t)FIRST_PAGE);

        if (!state[page]) {
            return page;
        }
    }
}

static void claim(struct slot *s)
{
    for (uint32_t i = 0; i < PER_COMMAND; i++) {
        uint32_t page = pick();

        state[page] |= DMA;
        chunk_dma[page / CHUNK]++;
        s->address[i] = (uint64_t)page_at(page);
    }
}

static uint32_t slot_page(const struct slot *s, uint32_t i)
{
    return (uint32_t)((s->address[i] - TN_GUEST_RAM) / PAGE);
}

static void job_used(struct job *j);

static void release(struct slot *s)
{
    for (uint32_t i = 0; i < PER_COMMAND; i++) {
        uint32_t page = slot_page(s, i), job = job_of[page];

        state[page] &= (uint8_t)~DMA;
        chunk_dma[page / CHUNK]--;
        if (job) {
            report[R_DMA_SHARED] += jobs[job - 1].to_shared;
            job_used(&jobs[job - 1]);
        }
    }
}

static void submit(uint32_t index)
{
    struct slot *s = &slots[index];
    bool write = s->step == IDLE;

    claim(s);
    if (write) {
        s->tag = 1ull << 63 | ++tags << 8;
        s->whole = (flags & PAYLOAD_WHOLE) || tags % WHOLE_EVERY == 0;
    }
    for (uint32_t i = 0; i < PER_COMMAND; i++) {
        uint32_t page = slot_page(s, i);

        if (write) {
            content[page] = s->tag | i;
            fill(page, content[page], s->whole);
        } else {
            fill(page, 0xdeaddeaddeaddeadull, s->whole);
        }
    }
    s->since = ticks();
    s->step = write ? WRITING : READING;
    nvme_queue(write, index, index * PER_COMMAND * (PAGE / 512ul), s->address, PER_COMMAND);
}

static void completed(struct slot *s, uint32_t status)
{
    report[R_COMMANDS]++;
    report[R_BYTES] += PER_COMMAND * PAGE;
    report[R_NVME_ERRORS] += status != 0;
    if (s->step == READING) {
        for (uint32_t i = 0; i < PER_COMMAND; i++) {
            uint32_t page = slot_page(s, i);

            content[page] = s->tag | i;
            check(page, content[page], s->whole);
        }
    }
    release(s);
    if (s->step == READING) {
        s->step = IDLE;
    }
}

/* Handles what completed, and keeps the queue full while `more`. True: something is in flight. */
static bool device_step(bool more)
{
    uint32_t index, status, done = 0, queued = 0, busy = 0;

    if (!nvme_there) {
        return false;
    }
    while (nvme_next(&index, &status)) {
        struct slot *s = &slots[index];

        done++;
        completed(s, status);
        if (s->step == WRITING) {
            submit(index); /* read it back, elsewhere */
            queued++;
        } else if (more) {
            submit(index);
            queued++;
        }
    }
    if (done) {
        nvme_done();
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];

        if (s->step == IDLE && more) {
            submit(i);
            queued++;
        }
        busy += s->step != IDLE;
    }
    if (queued) {
        nvme_ring();
    }
    if (busy && !done && (++commands & 0xfff) == 0) {
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (slots[i].step != IDLE && ticks() - slots[i].since > COMMAND_MS * ticks_per_ms()) {
                say_number("payload: a command never ended, slot ", i);
                report[R_NVME_ERRORS]++;
                nvme_there = false;
                return false;
            }
        }
    }
    return busy != 0;
}

/* ---- conversions ---- */

static void job_settle(uint32_t bit);

static void job_request(struct job *j)
{
    int64_t id;

    /* From here on the device gets none of its pages; the request waits for those it has. */
    if (!j->inplace) {
        if (!(state[j->page] & CONVERTING)) {
            for (uint32_t i = 0; i < j->n; i++) {
                state[j->page + i] |= CONVERTING;
            }
        }
        if (j->n == 1 ? state[j->page] & DMA : chunk_dma[j->page / CHUNK] != 0) {
            return;
        }
        /* Warm this CPU's TLB with what is about to go. */
        (void)check_word(R_WRONG_CPU, j->page, 0, content[j->page]);
    }
    id = call3(TN_GUEST_CONVERT, (uint64_t)page_at(j->page), (uint64_t)j->n * PAGE, j->to_shared,
               j->inplace);
    if (id <= 0) {
        report[R_REFUSED]++;
        return; /* again later */
    }
    asked++;
    report[R_REQUESTED]++;
    outstanding++;
    if (outstanding > report[R_MAX_PENDING]) {
        report[R_MAX_PENDING] = outstanding;
    }
    if (waiting[id % 64]) {
        job_settle((uint32_t)(id % 64)); /* committed since collect(): its number's place is free */
    }
    j->id = (uint64_t)id;
    j->step = WAITING;
    waiting[id % 64] = (uint8_t)(j - jobs + 1);
    touch(j->page - 1);
    touch(j->page + j->n);
}

static void swap_contents(struct job *j)
{
    for (uint32_t p = j->page; p < j->page + j->n; p++) {
        uint64_t shown = content[p];

        content[p] = behind[p];
        behind[p] = shown;
        state[p] &= (uint8_t)~CONVERTING;
    }
}

static void job_free(struct job *j)
{
    for (uint32_t i = 0; i < j->n; i++) {
        job_of[j->page + i] = 0;
    }
    chunk_jobs[j->page / CHUNK]--;
    j->step = FREE;
    active--;
}

/* The next half of its life, or the end. */
static void job_turn(struct job *j)
{
    if (!j->to_shared) {
        job_free(j);
        return;
    }
    j->to_shared = false;
    j->step = WANT;
}

static void job_used(struct job *j)
{
    if (j->step == USING && j->uses && --j->uses == 0) {
        job_turn(j);
    }
}

static void job_confirmed(struct job *j)
{
    outstanding--;
    confirmed++;
    report[j->inplace ? R_INPLACE : R_CONVERSIONS]++;
    report[R_BIG] += j->n > 1;
    if (!j->inplace) {
        swap_contents(j);
        /* What the other copy held is there again, through this CPU's tables ... */
        (void)check_word(R_WRONG_CPU, j->page, 0, content[j->page]);
        (void)check_word(R_WRONG_CPU, j->page, 511, content[j->page]);
        if (j->n > 1) {
            (void)check_word(R_WRONG_CPU, j->page + j->n - 1, 0, content[j->page + j->n - 1]);
            (void)check_word(R_WRONG_CPU, j->page + 256, 0, content[j->page + 256]);
        }
    } else {
        touch(j->page);
    }
    touch(j->page - 1);
    touch(j->page + j->n);
    /* ... and through the device's. */
    if (nvme_there && !j->inplace) {
        j->step = USING;
        j->uses = j->n > 1 ? 3 : 1;
        for (uint32_t i = 0; i < j->uses; i++) {
            due[due_in++ % DUE] = j->page + i * (j->n / 3);
        }
        return;
    }
    job_turn(j);
}

/* The request with this number (modulo 64) is no longer pending. */
static void job_settle(uint32_t bit)
{
    struct job *j = &jobs[waiting[bit] - 1];

    waiting[bit] = 0;
    if ((j->id & 15) == 0) { /* a sample: did it happen at all? */
        int64_t now = call3(TN_GUEST_STATE, (uint64_t)page_at(j->page), 0, 0, 0);

        if ((now != 0) != j->to_shared) {
            report[R_REFUSED]++;
            outstanding--;
            j->step = WANT;
            return;
        }
    }
    job_confirmed(j);
}

static bool chunk_idle(uint32_t chunk)
{
    return chunk_dma[chunk] == 0 && chunk_jobs[chunk] == 0;
}

/* A new range, nobody's yet; false: none found just now. */
static bool job_new(bool inplace)
{
    uint32_t index = 0, page = 0, n = 1, first = (uint32_t)FIRST_PAGE / CHUNK;
    struct job *j;

    while (jobs[index].step != FREE) {
        index++;
    }
    j = &jobs[index];
    if (!(flags & PAYLOAD_4K_ONLY) && below(BIG_EVERY) == 0) {
        uint32_t chunk = first + below(pages / CHUNK - first);

        if (!chunk_idle(chunk)) {
            return false;
        }
        n = CHUNK;
        page = chunk * CHUNK;
    } else {
        if (cluster_left-- == 0) {
            cluster = first + below(pages / CHUNK - first);
            cluster_left = flags & PAYLOAD_SCATTERED ? 0 : CLUSTER - 1;
        }
        page = cluster * CHUNK + below(CHUNK);
        if (job_of[page] || state[page]) {
            return false;
        }
    }
    *j = (struct job){ .step = WANT, .to_shared = true, .inplace = inplace, .page = page, .n = n };
    for (uint32_t i = 0; i < n; i++) {
        job_of[page + i] = (uint8_t)(index + 1);
    }
    chunk_jobs[page / CHUNK]++;
    active++;
    return true;
}

/* Those whose request is no longer pending are done; a request that was rejected is asked again. */
static void collect(void)
{
    struct call k = { { TN_GUEST_PENDING } };
    static uint32_t warm;
    uint64_t mask;

    /* What is about to change stays in this CPU's TLB to the last moment (either copy may answer): a
     * translation that outlives the commit is then used by the checks that follow. Some of them each
     * time: a page that is in change just now keeps this CPU waiting. */
    for (uint32_t i = 0; i < WARM; i++, warm++) {
        if (waiting[warm % 64]) {
            (void)page_at(jobs[waiting[warm % 64] - 1].page)[0];
        }
    }
    hvc(&k);
    mask = ~k.x[1];
    for (uint32_t bit = 0; bit < 64 && outstanding; bit++) {
        if (waiting[bit] && (mask >> bit & 1)) {
            job_settle(bit);
        }
    }
}

/* New jobs only while there is something left to ask; at times all drains, and then a few run alone:
 * then the whole memory is one leaf again, to be cut anew. */
static void start_jobs(bool inplace)
{
    uint64_t coming = 2ull * active; /* not more than this may still be asked by those under way */

    if (active == 0 && confirmed >= drained_at + EPOCH) {
        drained_at = confirmed;
        solo_left = SOLO;
    }
    limit = solo_left ? 1 : confirmed >= drained_at + EPOCH ? 0 : MAX_JOBS;
    for (uint32_t tries = 0; tries < 4 && active < limit && asked + coming < target; tries++) {
        if (job_new(inplace)) {
            coming += 2;
            if (solo_left) {
                solo_left--;
            }
        }
    }
}

static void conversion_step(bool inplace)
{
    static uint64_t next;
    uint64_t now = ticks();

    if (outstanding && now >= next) {
        collect();
        next = now + ticks_per_ms() / POLL_PER_MS;
    }
    start_jobs(inplace);
    for (uint32_t i = 0; i < MAX_JOBS && outstanding < TN_GUEST_PENDING_MAX; i++) {
        if (jobs[i].step == WANT) {
            job_request(&jobs[i]);
        }
    }
}

/* ---- phases ---- */

static void drain_device(void)
{
    while (device_step(false)) {
    }
}

/* Every page shows what it must, at the end of a phase. */
static void sweep(void)
{
    for (uint32_t page = (uint32_t)FIRST_PAGE; page < pages; page++) {
        (void)check_word(R_WRONG_CPU, page, 0, content[page]);
        (void)check_word(R_WRONG_CPU, page, 511, content[page]);
    }
}

static void phase(bool inplace, uint64_t count)
{
    target = confirmed + ((count + 1) & ~1ull);
    asked = confirmed;
    drained_at = confirmed;
    while (confirmed < target || active) {
        (void)device_step(true);
        conversion_step(inplace);
        report_paced();
    }
    drain_device();
    sweep();
}

/* One read command whose second page is outside the memory: the SMMU must say so. */
static void deliberate_fault(void)
{
    uint64_t address[2] = { (uint64_t)page_at((uint32_t)FIRST_PAGE),
                            TN_GUEST_RAM + ram_bytes + (64ul << 20) };
    uint64_t end = ticks() + 3000 * ticks_per_ms();
    uint32_t slot, status;

    if (!nvme_there) {
        return;
    }
    nvme_queue(false, 0, 0, address, 2);
    nvme_ring();
    while (!nvme_next(&slot, &status)) {
        if (ticks() > end) {
            return;
        }
    }
    nvme_done();
}

static void prepare(const struct args *a)
{
    flags = a->flags;
    pages = (uint32_t)(ram_bytes / PAGE < MAX_PAGES ? ram_bytes / PAGE : MAX_PAGES);
    cluster = (uint32_t)FIRST_PAGE / CHUNK;
    rng ^= (uint64_t)a->arg << 32 ^ ticks();
    if (!(flags & PAYLOAD_NO_NVME) && !nvme_start()) {
        say("payload: no NVMe disk, CPU only\n");
    }
}

void load_run(const struct args *a)
{
    prepare(a);
    report[R_PHASE] = 1;
    phase(false, a->count);
    yield(1);
    report[R_PHASE] = 2;
    phase(true, a->arg ? a->arg * 1000ull : a->count / 10);
    yield(2);
    report[R_PHASE] = 3;
    if (!(flags & PAYLOAD_NO_FAULT)) {
        deliberate_fault();
    }
    yield(3);
}

void load_dma_forever(const struct args *a)
{
    prepare(a);
    report[R_PHASE] = 1;
    for (;;) {
        (void)device_step(true);
        report_paced();
    }
}
