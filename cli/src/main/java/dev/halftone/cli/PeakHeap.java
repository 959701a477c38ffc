// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import com.sun.management.GarbageCollectionNotificationInfo;
import com.sun.management.GcInfo;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.util.Set;
import java.util.stream.Collectors;
import javax.management.ListenerNotFoundException;
import javax.management.Notification;
import javax.management.NotificationEmitter;
import javax.management.NotificationListener;
import javax.management.openmbean.CompositeData;
import org.jspecify.annotations.Nullable;

/**
 * How large the JVM's heap becomes, what is garbage already included: it only grows between two collections, so the most that it had before
 * one of them, or has at the end. Pools have peaks of their own too, but not at the same time.
 */
final class PeakHeap implements NotificationListener, AutoCloseable {
    private static final Set<String> POOLS = ManagementFactory.getMemoryPoolMXBeans().stream()
            .filter(pool -> pool.getType() == MemoryType.HEAP)
            .map(MemoryPoolMXBean::getName)
            .collect(Collectors.toUnmodifiableSet());

    /** Milliseconds since the JVM started. Collections are told a while after they were, so some begin before this. */
    private final long since = ManagementFactory.getRuntimeMXBean().getUptime();

    private long most;

    private PeakHeap() {}

    /** Begins to measure. */
    static PeakHeap start() {
        PeakHeap peak = new PeakHeap();
        ManagementFactory.getGarbageCollectorMXBeans()
                .forEach(bean -> ((NotificationEmitter) bean).addNotificationListener(peak, null, null));
        return peak;
    }

    @Override
    public synchronized void handleNotification(Notification notification, @Nullable Object handback) {
        if (notification.getUserData() instanceof CompositeData data
                && notification.getType().equals(GarbageCollectionNotificationInfo.GARBAGE_COLLECTION_NOTIFICATION)) {
            GcInfo info = GarbageCollectionNotificationInfo.from(data).getGcInfo();
            if (info.getStartTime() >= since) {
                most = Math.max(
                        most,
                        info.getMemoryUsageBeforeGc().entrySet().stream()
                                .filter(e -> POOLS.contains(e.getKey()))
                                .mapToLong(e -> e.getValue().getUsed())
                                .sum());
            }
        }
    }

    /** Returns the peak so far, in bytes. */
    synchronized long bytes() {
        most = Math.max(
                most, ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed());
        return most;
    }

    /** Stops to measure. */
    @Override
    public void close() {
        ManagementFactory.getGarbageCollectorMXBeans().forEach(bean -> {
            try {
                ((NotificationEmitter) bean).removeNotificationListener(this);
            } catch (ListenerNotFoundException e) {
                throw new IllegalStateException("closed twice", e);
            }
        });
    }
}
