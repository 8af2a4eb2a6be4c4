/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversion protocol and its sequence count, for spin: every interleaving of two CPUs, one
 * device and one converter that turns a page from private to shared and back, for ever.
 *
 * It mirrors mem/convert.c (the order), mem/claim.c (the mark and the count), space/change.c (one
 * follower), space/fault.c (the other side of the race) and docs/conversion.md. What is there:
 *   - a block of two pages: page 0 is converted, page 1 is its neighbour. Page 0 is seen in frame P
 *     while private and in frame S while shared; page 1 always in N.
 *   - trees of two levels: the upper entry is NONE, BLOCK (P and N at once) or TABLE, the lower
 *     entries are what is in the table. Mirror mode: the CPUs' tree, filled by faults, and the
 *     device's, filled beforehand. With -DSHARE one tree, filled beforehand, for all three. With
 *     -DSTALL the CPUs' tree may not be cut live: the whole block goes, and its neighbour is put back.
 *   - walkers that cache what the architecture lets them cache (the block, page 0's leaf, the table
 *     pointer), walk in two steps, use what is cached or do not, and have their access in flight for a
 *     while. They always fill: since what is cached need not be used, that is the worst of all choices;
 *   - invalidations that take effect at any moment up to the end of the wait, and remove what their
 *     level hint says and nothing more.
 *
 * What must hold is asserted where it could be broken; the words are on the line of each assert.
 * tools/spin runs it as it is and with each -DWRONG_* below, which must fail.
 */

#define P 1
#define S 2
#define N 3

#define NONE  0
#define BLOCK 1
#define TABLE 2

#define CPU0   0
#define CPU1   1
#define DEVICE 2
#define AGENTS 3

#ifdef SHARE
#define TREES      1
#define TREE_OF(a) 0
#else
#define TREES      2
#define TREE_OF(a) (a == DEVICE)
#endif

/* Invalidations, one bit each: of the block (level hint 2), of page 0's leaf (level hint 3), of page 0
 * at any level, of everything with the table pointers. */
#define INV_BLOCK 1
#define INV_LEAF  2
#define INV_PAGE  4
#define INV_ALL   8

/* ---- the object ---- */
bool shared;      /* state of page 0 */
byte seq;         /* moves at begin and at end; odd: page 0 is marked as in change */
bool ok_p = true; /* may the guest's walkers still, or already, use the frame? */
bool ok_s;
#define MAY_USE(f)   (f == N || (f == P && ok_p) || (f == S && ok_s))
#define FRAME_NOW    (shared -> S : P)
#define IN_CHANGE    ((seq & 1) == 1)

/* ---- the trees ---- */
byte upper[TREES];
byte leaf0[TREES]; /* NONE, P or S */
byte leaf1[TREES]; /* NONE or N */
bool there[TREES]; /* page 1 has been mapped once: from then on it never is not */
bool out;          /* STALL: the block of tree 0 is out until gain; faults in it try again */
bool writer;       /* the lock of tree 0; nobody faults in the other */
byte readers;

/* ---- the walkers ---- */
bool tlb_block[AGENTS];
byte tlb_leaf[AGENTS];
bool tlb_table[AGENTS];
byte busy[AGENTS]; /* walking or accessing: page + 1; else 0 */
bool down[AGENTS]; /* on the way into the table, with a pointer to it */
byte pend[AGENTS]; /* invalidations issued, not yet in effect */
#define FOR_TREE(a, t) (TREE_OF(a) == t)

#ifdef WRONG_NO_DRAIN
#define COVERED(a) false
#else
/* An invalidation has to wait for what is under way with the old translation (IHI0070 3.21.1). */
#define COVERED(a)                                              \
    ((busy[a] != 0 && (pend[a] & (INV_BLOCK | INV_ALL)) != 0) || \
     (busy[a] == 1 && (pend[a] & (INV_LEAF | INV_PAGE)) != 0))
#endif

inline take_effect(a)
{
    d_step {
        if
        :: (pend[a] & (INV_BLOCK | INV_PAGE | INV_ALL)) != 0 -> tlb_block[a] = false
        :: else
        fi;
        if
        :: (pend[a] & (INV_LEAF | INV_PAGE | INV_ALL)) != 0 -> tlb_leaf[a] = NONE
        :: else
        fi;
        if
        :: (pend[a] & INV_ALL) != 0 -> tlb_table[a] = false
        :: else
        fi;
        pend[a] = 0
    }
}

/* Two cached translations that contradict each other are a broken break-before-make. */
inline fill_leaf(a, f)
{
    assert(tlb_leaf[a] == NONE || tlb_leaf[a] == f);      /* two translations of one page */
    assert(!tlb_block[a] || f == P);                      /* two translations of one page */
    tlb_leaf[a] = f
}

inline fill_block(a)
{
    assert(tlb_leaf[a] == NONE || tlb_leaf[a] == P);      /* two translations of one page */
    tlb_block[a] = true
}

#define T TREE_OF(a)

proctype walker(byte a)
{
    byte page = 0;  /* that is wanted */
    byte f = NONE;  /* what it is translated to */
    byte was = 0;   /* a fault: the sequence count as first seen */
    bool big = false;

idle:
    atomic {
        page = 0; f = NONE; was = 0; big = false; busy[a] = 0;
        if
        :: pend[a] != 0 -> take_effect(a); goto idle
        :: true
        fi;
        /* A choice of page, and the first step: from what is cached, or from the root. */
        if
        :: page = 0
        :: page = 1
        fi;
        busy[a] = page + 1;
        if
        :: page == 0 && tlb_leaf[a] != NONE -> f = tlb_leaf[a]; goto access
        :: page == 0 && tlb_block[a] -> f = P; goto access
        :: upper[T] == BLOCK ->
            fill_block(a);
            if
            :: page == 0 -> f = P; goto access
            :: else -> goto idle
            fi
        :: tlb_table[a] -> down[a] = true
        :: upper[T] == TABLE -> tlb_table[a] = true; down[a] = true
        :: upper[T] == NONE ->
            assert(page == 0 || !there[T]);               /* a neighbour was not there */
            busy[a] = 0;
            goto fault
        fi
    };
    /* The second step, of those that have a pointer to the table. */
    atomic {
        f = (page == 0 -> leaf0[T] : leaf1[T]);
        down[a] = false;
        if
        :: f == N -> goto idle
        :: f == P || f == S -> fill_leaf(a, f)
        :: else ->
            assert(page == 0 || !there[T]);               /* a neighbour was not there */
            busy[a] = 0;
            if
            :: a == DEVICE -> goto idle                   /* it tries again */
            :: else -> goto fault
            fi
        fi
    };
access:
    /* The access is in flight, until now. (Page 1's frame is always the right one.) */
    atomic {
        assert(MAY_USE(f));                               /* a frame is used after it was taken */
        goto idle
    };
fault:
#ifdef WRONG_SEQ_BEFORE_LOCK
    atomic {
        was = seq;
        if
        :: page == 0 && IN_CHANGE -> goto idle
        :: else
        fi
    };
#endif
#ifndef WRONG_FAULT_WITHOUT_LOCK
    atomic { !writer -> readers++ };
#endif
    /* fault_locked(). Its look whether another CPU was faster is left to the compare-exchange below. */
#if defined(STALL) && !defined(WRONG_NEIGHBOUR_LET_IN)
    if
    :: atomic { out -> goto answered }
    :: else
    fi;
#endif
#if !defined(WRONG_SEQ_IGNORED) && !defined(WRONG_SEQ_BEFORE_LOCK)
    atomic {
        was = seq;
        if
        :: page == 0 && IN_CHANGE -> goto answered        /* try again */
        :: else
        fi
    };
#endif
    f = (page == 0 -> FRAME_NOW : N);
#if !defined(WRONG_SEQ_IGNORED) && !defined(WRONG_SEQ_BEFORE_LOCK) && !defined(HOLDS_NO_SECOND_LOOK)
    if
    :: atomic { seq != was -> goto answered }
    :: else
    fi;
#endif
    /* large_ok(): no border in the block, and not in change */
#if defined(WRONG_LARGE_OVER_CHANGE) || defined(WRONG_SEQ_IGNORED) || defined(WRONG_SEQ_BEFORE_LOCK)
    big = !shared;
#else
    big = (!shared && !IN_CHANGE);
#endif
    /* pt_map_leaf(): by compare-exchange; a table is filled before it is linked */
    atomic {
        if
        :: upper[T] == NONE && big -> upper[T] = BLOCK; f = P; there[T] = true
        :: upper[T] == NONE && !big ->
            leaf0[T] = (page == 0 -> f : NONE);
            leaf1[T] = (page == 1 -> f : NONE);
            upper[T] = TABLE
        :: upper[T] == TABLE && page == 0 && leaf0[T] == NONE -> leaf0[T] = f
        :: upper[T] == TABLE && page == 1 && leaf1[T] == NONE -> leaf1[T] = f
        :: else -> goto answered
        fi;
        there[T] = (there[T] || page == 1);
        assert(MAY_USE(f))                                /* a fault installs a frame that was taken */
    };
answered:
    atomic {
#ifndef WRONG_FAULT_WITHOUT_LOCK
        readers--;
#endif
        goto idle
    }
}

/* ---- the converter ---- */

inline lock_alone(t)
{
    if
    :: t == 0 -> writer = true; readers == 0              /* waiting changes go before new faults */
    :: else
    fi
}

inline unlock(t)
{
    if
    :: t == 0 -> writer = false
    :: else
    fi
}

inline issue(t, what)
{
    d_step {
        if
        :: FOR_TREE(CPU0, t) -> pend[CPU0] = pend[CPU0] | what; pend[CPU1] = pend[CPU1] | what
        :: else
        fi;
        if
        :: FOR_TREE(DEVICE, t) -> pend[DEVICE] = pend[DEVICE] | what
        :: else
        fi
    }
}

inline wait_for(a)
{
    atomic { !COVERED(a) -> take_effect(a) }
}

inline wait(t)
{
    if
    :: FOR_TREE(CPU0, t) -> wait_for(CPU0); wait_for(CPU1)
    :: else
    fi;
    if
    :: FOR_TREE(DEVICE, t) -> wait_for(DEVICE)
    :: else
    fi
}

/* cut_edges(): a leaf that reaches over the edge becomes a table, in one store */
inline cut(t)
{
    if
    :: upper[t] == BLOCK ->
#ifdef WRONG_LINK_BEFORE_FILL
        atomic { leaf0[t] = NONE; leaf1[t] = NONE; upper[t] = TABLE };
        leaf1[t] = N;
        leaf0[t] = P;
#else
        atomic { leaf0[t] = P; leaf1[t] = N; upper[t] = TABLE };
#endif
#if defined(WRONG_CUT_NOT_INVALIDATED)
#elif defined(WRONG_HINT_KEPT) || defined(HOLDS_ONE_WAIT)
        gathered = true
#else
        issue(t, INV_BLOCK);
        wait(t)
#endif
    :: else
    fi
}

inline lose(t)
{
    lock_alone(t);
    gathered = false;
#ifdef STALL
    if
    :: t == 0 && upper[t] == BLOCK ->                     /* widen() */
        out = true;
        atomic { there[t] = false; upper[t] = NONE };
        issue(t, INV_ALL)
    :: else -> cut(t)
    fi;
#else
    cut(t);
#endif
    if
    :: upper[t] == TABLE && leaf0[t] != NONE ->
#ifdef WRONG_ISSUE_BEFORE_BREAK
        issue(t, INV_LEAF);
#endif
#ifdef WRONG_BREAK_ONE_MORE
        leaf1[t] = NONE;
#endif
        leaf0[t] = NONE;
#ifndef WRONG_ISSUE_BEFORE_BREAK
#ifdef HOLDS_ONE_WAIT
        if
        :: gathered -> issue(t, INV_PAGE)                 /* no level hint */
        :: else -> issue(t, INV_LEAF)
        fi
#else
        issue(t, INV_LEAF)
#endif
#endif
    :: else
    fi;
    unlock(t)
}

inline gain(t)
{
#ifdef STALL
    if
    :: t == 0 && out ->                                   /* put_back() */
        lock_alone(t);
        assert(upper[t] == NONE);                         /* gain finds what it must make */
        atomic { leaf0[t] = NONE; leaf1[t] = N; upper[t] = TABLE; there[t] = true };
        out = false;
        unlock(t)
    :: else
    fi;
#endif
    if
#ifdef SHARE
    :: true ->
#else
    :: t == 1 ->                                          /* the CPUs' tree is filled by faults */
#endif
        lock_alone(t);
        assert(leaf0[t] == NONE && upper[t] == TABLE);    /* gain finds what it must make */
        leaf0[t] = FRAME_NOW;
        unlock(t)
    :: else
    fi
}

inline free_table(t)
{
    d_step {
        /* Whoever still has a pointer to the table could read it when it is something else. */
        assert(!FOR_TREE(CPU0, t) || !(tlb_table[CPU0] || down[CPU0]));   /* a table is freed while a walker can read it */
        assert(!FOR_TREE(CPU1, t) || !(tlb_table[CPU1] || down[CPU1]));   /* a table is freed while a walker can read it */
        assert(!FOR_TREE(DEVICE, t) || !(tlb_table[DEVICE] || down[DEVICE])); /* a table is freed while a walker can read it */
        leaf0[t] = NONE;
        leaf1[t] = NONE
    }
}

inline settle(t)
{
    lock_alone(t);
    if
#ifdef WRONG_MERGE_OVER_BORDER
    :: upper[t] == TABLE && leaf0[t] != NONE && leaf1[t] == N ->
#else
    :: upper[t] == TABLE && leaf0[t] == P && leaf1[t] == N && !shared ->
        assert(!IN_CHANGE);                               /* a merge inside a change */
#endif
#ifdef STALL
        if
        :: t == 0 ->                                      /* merge_by_break(): faults wait for the lock */
            atomic { there[t] = false; upper[t] = NONE };
            issue(t, INV_ALL);
            wait(t);
            atomic { upper[t] = BLOCK; there[t] = true }
        :: else -> upper[t] = BLOCK
        fi;
#else
        upper[t] = BLOCK;
#endif
#ifdef WRONG_TABLE_FREED_BEFORE_WAIT
        free_table(t);
#endif
#ifdef WRONG_MERGE_LEAVES_POINTERS
        issue(t, INV_PAGE);
#else
        issue(t, INV_ALL);
#endif
        wait(t);
#ifndef WRONG_TABLE_FREED_BEFORE_WAIT
        free_table(t)
#endif
    :: else
    fi;
    unlock(t)
}

inline commit()
{
    d_step {
        shared = !shared;
        ok_p = !shared;
        ok_s = shared
    }
}

/* Promise 5: after the wait nobody can use the old translation, from anywhere. */
#define HAS_OLD(a) (shared -> tlb_leaf[a] == S : (tlb_leaf[a] == P || tlb_block[a]))
#define MAPS_OLD(t) \
    (upper[t] == BLOCK -> !shared : (upper[t] == TABLE && leaf0[t] == FRAME_NOW))

proctype converter()
{
    bool gathered = false;

    do
    :: true ->
#ifndef WRONG_SEQ_ODD_LATE
        seq = (seq + 1) % 4;
#endif
        lose(0);
#ifndef SHARE
        lose(1);
#endif
#ifdef WRONG_SEQ_ODD_LATE
        seq = (seq + 1) % 4;
#endif
#ifdef WRONG_OWNER_BEFORE_WAIT
        commit();
#endif
#ifdef WRONG_GAIN_BEFORE_WAIT
        d_step { shared = !shared; ok_p = true; ok_s = true }; /* only the tables' order is wrong */
        gain(0);
#ifndef SHARE
        gain(1);
#endif
#endif
#ifndef WRONG_NO_WAIT
#if defined(WRONG_ONE_FOLLOWER_NOT_WAITED_FOR) && defined(SHARE)
        wait_for(CPU0); wait_for(CPU1);
#else
        wait(0);
#if !defined(SHARE) && !defined(WRONG_ONE_FOLLOWER_NOT_WAITED_FOR)
        wait(1);
#endif
#endif
#endif
#if !defined(WRONG_OWNER_BEFORE_WAIT) && !defined(WRONG_GAIN_BEFORE_WAIT)
        d_step {
            assert(!HAS_OLD(CPU0) && !HAS_OLD(CPU1));     /* an old translation after the wait */
            assert(!HAS_OLD(DEVICE));                     /* an old translation after the wait */
            assert(!MAPS_OLD(0));                         /* an old translation after the wait */
#ifndef SHARE
            assert(!MAPS_OLD(1))                          /* an old translation after the wait */
#endif
        };
#ifdef WRONG_SEQ_EVEN_BEFORE_COMMIT
        seq = (seq + 1) % 4;
#endif
        commit();
#ifdef WRONG_SEQ_EVEN_BEFORE_GAIN
        seq = (seq + 1) % 4;
#endif
        gain(0);
#ifndef SHARE
        gain(1);
#endif
#endif
#if !defined(WRONG_SEQ_EVEN_BEFORE_COMMIT) && !defined(WRONG_SEQ_EVEN_BEFORE_GAIN)
        seq = (seq + 1) % 4;
#endif
        settle(0);
#ifndef SHARE
        settle(1);
#endif
    od
}

init
{
    atomic {
#ifdef SHARE
        upper[0] = BLOCK; there[0] = true;
#else
        upper[1] = BLOCK; there[1] = true;
#endif
        run walker(CPU0);
        run walker(CPU1);
        run walker(DEVICE);
        run converter()
    }
}
