// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A fixed pool of threads on which kernels run over ranges of rows.
 *
 * <p>Work is split into ranges that are computed independently, and no result depends on which thread computes which range: the
 * same input gives the same bits for every thread count. Instances are thread-safe.
 */
public final class Compute implements AutoCloseable {
    /** A kernel over the indices {@code from} (inclusive) to {@code to} (exclusive). */
    @FunctionalInterface
    public interface RangeTask {
        /** Computes the range. */
        void run(int from, int to);
    }

    private static final class Shared {
        static final Compute INSTANCE = new Compute(Runtime.getRuntime().availableProcessors());
    }

    private final int threads;
    private final ExecutorService workers;
    private final ConcurrentLinkedDeque<float[]> scratch = new ConcurrentLinkedDeque<>();

    private Compute(int threads) {
        this.threads = threads;
        this.workers = Executors.newFixedThreadPool(Math.max(1, threads - 1), r -> {
            Thread t = new Thread(r, "halftone-compute");
            t.setDaemon(true);
            return t;
        });
    }

    /** Returns the process-wide instance that uses every available processor; closing it has no effect. */
    public static Compute shared() {
        return Shared.INSTANCE;
    }

    /** Returns a new instance with this many threads, the calling thread included. */
    public static Compute ofThreads(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("threads must be at least 1, not " + threads);
        }
        return new Compute(threads);
    }

    /** Returns the number of threads, the calling thread included. */
    public int threads() {
        return threads;
    }

    /**
     * Runs {@code task} over {@code [0, n)} in ranges of {@code grain} indices and returns when all are done. The calling thread
     * works too, so calls may be nested. The first exception of any range is rethrown after the others have stopped.
     */
    public void forEachRange(int n, int grain, RangeTask task) {
        int step = Math.max(1, grain);
        int ranges = n / step + (n % step == 0 ? 0 : 1);
        int helpers = Math.min(threads, ranges) - 1;
        if (helpers <= 0) {
            for (int i = 0; i < ranges; i++) {
                task.run(i * step, Math.min(n, (i + 1) * step));
            }
            return;
        }
        AtomicInteger next = new AtomicInteger();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        CountDownLatch done = new CountDownLatch(ranges);
        Runnable drain = () -> {
            for (int i = next.getAndIncrement(); i < ranges; i = next.getAndIncrement()) {
                try {
                    if (failure.get() == null) {
                        task.run(i * step, Math.min(n, (i + 1) * step));
                    }
                } catch (RuntimeException | Error e) {
                    failure.compareAndSet(null, e);
                } finally {
                    done.countDown();
                }
            }
        };
        for (int i = 0; i < helpers; i++) {
            workers.execute(drain);
        }
        drain.run();
        // Waits for ranges, not for helpers: where every worker is inside such a call itself, helpers may start only
        // afterwards.
        awaitUninterruptibly(done);
        switch (failure.get()) {
            case null -> {}
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            case Throwable e -> throw new IllegalStateException(e);
        }
    }

    /** Runs {@code task} over {@code [0, n)} in about four ranges per thread. */
    public void forEachRange(int n, RangeTask task) {
        forEachRange(n, Math.ceilDiv(n, 4 * threads), task);
    }

    /**
     * Returns memory for intermediate results of the calling thread, of at least this size and with any contents. What is given back
     * is lent again, so that no more arrays live than threads work at once; the largest size asked for wins.
     */
    public float[] borrow(int size) {
        float[] array = scratch.poll();
        return array != null && array.length >= size ? array : new float[size];
    }

    /** Takes back an array that {@link #borrow} has returned. After a failure it need not be given back. */
    public void giveBack(float[] array) {
        scratch.push(array);
    }

    private static void awaitUninterruptibly(CountDownLatch latch) {
        boolean interrupted = false;
        while (true) {
            try {
                latch.await();
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Stops the threads (not those of {@link #shared()}). */
    @Override
    public void close() {
        if (this != Shared.INSTANCE) {
            workers.shutdown();
        }
    }
}
