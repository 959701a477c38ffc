// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongSupplier;

/**
 * A progress bar with rate and remaining time, in one line that is painted over again and wiped at the end. It shows on terminals
 * only: in a log file it would be noise.
 */
final class Progress implements AutoCloseable {
    private static final int BAR = 24;
    private static final long REPAINT_NANOS = 100_000_000;
    private static final String WIPE = "\r\033[K";

    private final PrintStream err;
    private final boolean visible;
    private final String what;
    private final LongSupplier clock;
    private long start;
    private long before;
    private long painted;

    Progress(PrintStream err, boolean visible, String what, LongSupplier clock) {
        this.err = err;
        this.visible = visible;
        this.what = what;
        this.clock = clock;
        this.start = clock.getAsLong();
        this.painted = start - REPAINT_NANOS;
    }

    /** Returns whether standard error is a terminal. */
    static boolean stderrIsTerminal() {
        Path linux = Path.of("/proc/self/fd/2");
        if (Files.isSymbolicLink(linux)) {
            try {
                String device = Files.readSymbolicLink(linux).toString();
                return device.startsWith("/dev/pts/") || device.startsWith("/dev/tty");
            } catch (IOException e) {
                return false;
            }
        }
        // Elsewhere Java can only tell of standard input and output together.
        return Optional.ofNullable(System.console())
                .map(java.io.Console::isTerminal)
                .orElse(false);
    }

    /** Takes the rate from here on: what took the time until now, or was done before, is no measure of what is to come. */
    synchronized void restart(long done) {
        start = clock.getAsLong();
        before = done;
    }

    /** Shows that {@code done} of {@code total} units are finished. */
    void update(long done, long total) {
        update(done, total, "");
    }

    /** Shows that {@code done} of {@code total} units are finished, and a short note. */
    synchronized void update(long done, long total, String note) {
        long now = clock.getAsLong();
        if (!visible || (now - painted < REPAINT_NANOS && done < total)) {
            return;
        }
        painted = now;
        err.print(WIPE + line(done, total, (now - start) * 1e-9) + (note.isEmpty() ? "" : "  " + note));
        err.flush();
    }

    /** Shows that a share of the work is done, 0 to 1, and which part is in work. */
    synchronized void share(double share, String part) {
        long now = clock.getAsLong();
        if (!visible || now - painted < REPAINT_NANOS) {
            return;
        }
        painted = now;
        double seconds = (now - start) * 1e-9;
        String left = share > 0 ? "  " + time(seconds * (1 - share) / share) + " left" : "";
        err.print(WIPE + bar(share) + left + "  " + part);
        err.flush();
    }

    /** Shows how many units are finished where nobody knows how many there will be. */
    synchronized void count(long done) {
        long now = clock.getAsLong();
        if (!visible || now - painted < REPAINT_NANOS) {
            return;
        }
        painted = now;
        err.print(WIPE + what + "  " + done + "  " + rate(done / ((now - start) * 1e-9)));
        err.flush();
    }

    private String bar(double share) {
        int filled = (int) (share * BAR);
        return String.format(
                Locale.ROOT,
                "%s [%s%s] %3.0f%%",
                what,
                "=".repeat(filled),
                " ".repeat(BAR - filled),
                Math.floor(100 * share));
    }

    private String line(long done, long total, double seconds) {
        double fraction = total == 0 ? 1 : (double) done / total;
        double rate = seconds > 0 ? (done - before) / seconds : 0;
        String left = rate > 0 ? time((total - done) / rate) + " left" : "";
        return String.format(Locale.ROOT, "%s  %d/%d  %s  %s", bar(fraction), done, total, rate(rate), left);
    }

    private static String rate(double perSecond) {
        return perSecond >= 1 || perSecond == 0
                ? String.format(Locale.ROOT, "%.1f/s", perSecond)
                : String.format(Locale.ROOT, "%.1f s each", 1 / perSecond);
    }

    private static String time(double seconds) {
        Duration d = Duration.ofSeconds(Math.round(seconds));
        return d.toHours() > 0
                ? String.format(Locale.ROOT, "%d:%02d:%02d", d.toHours(), d.toMinutesPart(), d.toSecondsPart())
                : String.format(Locale.ROOT, "%d:%02d", d.toMinutes(), d.toSecondsPart());
    }

    @Override
    public void close() {
        wipe();
    }

    /** Clears the line for other output; the next update paints it again. */
    synchronized void wipe() {
        if (visible) {
            err.print(WIPE);
            err.flush();
        }
    }
}
