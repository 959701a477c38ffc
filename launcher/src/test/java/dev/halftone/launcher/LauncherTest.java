// SPDX-License-Identifier: Apache-2.0
package dev.halftone.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

final class LauncherTest {
    private static final Jdk JDK = new Jdk(Path.of("/jdk"), 25);

    @Test
    void startsTheCommandLineOnTheModulePathWithItsArgumentsUntouched() {
        List<String> args = List.of("upscale", "my picture.png", "-o", "a \"b\" c.png");
        assertThat(Launcher.command(JDK, "a:b", args))
                .startsWith(JDK.java().toString())
                .containsSubsequence("-p", "a:b", "-m", "dev.halftone.cli/dev.halftone.cli.Main")
                .endsWith(args.toArray(String[]::new));
    }

    @Test
    void handsOnTheProjectsSystemPropertiesAndNoOthers() {
        System.setProperty("halftone.launcher-test", "a b");
        System.setProperty("other.launcher-test", "c");
        try {
            assertThat(Launcher.command(JDK, "p", List.of()))
                    .contains("-Dhalftone.launcher-test=a b")
                    .noneMatch(argument -> argument.contains("other.launcher-test"));
        } finally {
            System.clearProperty("halftone.launcher-test");
            System.clearProperty("other.launcher-test");
        }
    }

    @Test
    void boundsTheHeapByThreeQuartersOfTheMemory() {
        assertThat(Launcher.heap(List.of("upscale", "--memory", "1g", "a.png"))).contains(768L);
        assertThat(Launcher.heap(List.of("upscale", "--memory=512M"))).contains(384L);
        assertThat(Launcher.heap(List.of("upscale", "--memory", "2gb"))).contains(1536L);
        assertThat(Launcher.heap(List.of("upscale", "a.png"))).isEmpty();
        assertThat(Launcher.heap(List.of("upscale", "--memory", "much"))).isEmpty();
        assertThat(Launcher.command(JDK, "p", List.of("upscale", "--memory", "1g")))
                .contains("-Xmx768m");
    }
}
