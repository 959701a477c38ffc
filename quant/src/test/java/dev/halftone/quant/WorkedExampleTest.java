// SPDX-License-Identifier: Apache-2.0
package dev.halftone.quant;

import static org.assertj.core.api.Assertions.assertThat;

import dev.halftone.quant.Quantization.Options;
import dev.halftone.tensor.Compute;
import java.io.ByteArrayOutputStream;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The recipe that CONTRIBUTING adds, word for word: it compiles, clips and runs packed. */
final class WorkedExampleTest {
    @TempDir
    private Path folder;

    @Test
    void theRecipeOfContributingRuns() throws Exception {
        String text = Files.readString(
                Path.of(Objects.requireNonNull(System.getProperty("halftone.root")), "CONTRIBUTING.md"));
        Matcher fence = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(text);
        assertThat(fence.find()).isTrue();
        Path source = Files.writeString(folder.resolve("ThreeSigma.java"), fence.group(1));
        ByteArrayOutputStream errors = new ByteArrayOutputStream();
        int code = ToolProvider.getSystemJavaCompiler()
                .run(
                        null,
                        errors,
                        errors,
                        "-proc:none",
                        "-d",
                        folder.toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        source.toString());
        assertThat(code).as(errors.toString(StandardCharsets.UTF_8)).isZero();
        try (URLClassLoader loader =
                new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
            Method method =
                    loader.loadClass("dev.halftone.quant.recipe.ThreeSigma").getDeclaredMethod("recipe");
            method.setAccessible(true);
            Recipe recipe = (Recipe) Objects.requireNonNull(method.invoke(null));
            TinyNetwork network = TinyNetwork.random(1);
            Quantization run =
                    new Quantization(Compute.shared(), network, new Options(4, 4, Scope.ALL), TinyNetwork.images(7));
            recipe.apply(run);
            assertThat(run.pack()).hasSize(8).allMatch(Quantization.LayerReport::packed);
        }
    }
}
