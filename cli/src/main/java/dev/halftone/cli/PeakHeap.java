// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.util.List;

/** How large the JVM's heap becomes, what is garbage already included: the most that each of its pools has held, added up. */
final class PeakHeap {
    private final List<MemoryPoolMXBean> pools = ManagementFactory.getMemoryPoolMXBeans().stream()
            .filter(pool -> pool.getType() == MemoryType.HEAP)
            .toList();

    private PeakHeap() {}

    /** Begins to measure; there is one peak for the whole JVM, so one measurement at a time. */
    static PeakHeap start() {
        PeakHeap peak = new PeakHeap();
        peak.pools.forEach(MemoryPoolMXBean::resetPeakUsage);
        return peak;
    }

    /** Returns the peak so far, in bytes. */
    long bytes() {
        return pools.stream().mapToLong(pool -> pool.getPeakUsage().getUsed()).sum();
    }
}
