// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

final class ProgressTest {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private final PrintStream err = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    private final AtomicLong clock = new AtomicLong();

    @Test
    void showsBarRateAndRemainingTimeInOneLineThatIsWipedAtTheEnd() {
        try (Progress progress = new Progress(err, true, "tiles", clock::get)) {
            clock.addAndGet(TimeUnit.SECONDS.toNanos(10));
            progress.update(20, 200);
            assertThat(shown()).isEqualTo("\r\033[Ktiles [==                      ]  10%  20/200  2.0/s  1:30 left");
            progress.update(21, 200);
            assertThat(shown()).as("not ten times a millisecond").isEmpty();
            clock.addAndGet(TimeUnit.SECONDS.toNanos(7190));
            progress.update(100, 200, "loss 2.5");
            assertThat(shown()).endsWith(" 50%  100/200  72.0 s each  2:00:00 left  loss 2.5");
            progress.update(200, 200);
            assertThat(shown()).contains("[========================] 100%").endsWith("0:00 left");
        }
        assertThat(shown()).isEqualTo("\r\033[K");
    }

    @Test
    void isSilentWhereThereIsNoTerminal() {
        try (Progress progress = new Progress(err, false, "tiles", clock::get)) {
            progress.update(1, 2);
        }
        assertThat(shown()).isEmpty();
    }

    private String shown() {
        String text = bytes.toString(StandardCharsets.UTF_8);
        bytes.reset();
        return text;
    }
}
