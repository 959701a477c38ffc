// SPDX-License-Identifier: Apache-2.0
package dev.halftone.launcher;

import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Runs the command line in a child JVM of version 25 or newer, on the module path, and answers with its exit code. The child has
 * this process's standard streams, its {@code halftone.*} system properties and its working directory.
 */
public final class Launcher {
    private static final String MAIN = "dev.halftone.cli/dev.halftone.cli.Main";
    private static final String NO_JDK =
            "Halftone needs a JDK 25 or newer, and none was found: install one in a usual place (for example /usr/lib/jvm or ~/.jdks) "
                    + "or set JAVA_HOME to it.";

    private Launcher() {}

    /** Runs the command line and ends this JVM with its exit code. */
    public static void main(String[] args) throws InterruptedException, IOException, URISyntaxException {
        Optional<Jdk> jdk = Jdk.find(
                Path.of(System.getProperty("java.home")), System.getenv(), Path.of(System.getProperty("user.home")));
        if (jdk.isEmpty()) {
            System.err.println(NO_JDK);
            System.exit(1);
            return;
        }
        System.exit(run(command(jdk.get(), classPath(), List.of(args))));
    }

    private static int run(List<String> command) throws IOException, InterruptedException {
        Process child = new ProcessBuilder(command).inheritIO().start();
        // Ctrl-C reaches the child by itself, a signal sent to this process alone does not. Either way this JVM stays
        // until the child
        // has tidied up.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            child.destroy();
            try {
                child.waitFor();
            } catch (InterruptedException e) {
                child.destroyForcibly();
            }
        }));
        return child.waitFor();
    }

    static List<String> command(Jdk jdk, String modulePath, List<String> args) {
        List<String> command = new ArrayList<>();
        command.add(jdk.java().toString());
        command.add("-Djava.awt.headless=true");
        heap(args).ifPresent(megabytes -> command.add("-Xmx" + megabytes + "m"));
        for (String name : new TreeSet<>(System.getProperties().stringPropertyNames())) {
            if (name.startsWith("halftone.")) {
                command.add("-D" + name + "=" + System.getProperty(name));
            }
        }
        command.addAll(List.of("-p", modulePath, "-m", MAIN));
        command.addAll(args);
        return command;
    }

    /**
     * Returns the heap size that keeps the whole process near {@code --memory SIZE}: three quarters of it. The rest is for the JVM's own
     * code and threads and for the kernels' tables outside the heap. A size that does not parse is left to the command line to refuse.
     */
    static Optional<Long> heap(List<String> args) {
        Matcher size = Pattern.compile("(?:^| )--memory[= ](\\d{1,6})([mg])b?(?: |$)", Pattern.CASE_INSENSITIVE)
                .matcher(String.join(" ", args));
        if (!size.find()) {
            return Optional.empty();
        }
        long megabytes = Long.parseLong(size.group(1)) * (size.group(2).equalsIgnoreCase("g") ? 1024 : 1);
        return Optional.of(Math.max(1, megabytes * 3 / 4));
    }

    /** Returns the class path that this class was loaded from: exec:java has a class loader of its own. */
    private static String classPath() throws URISyntaxException {
        if (!(Launcher.class.getClassLoader() instanceof URLClassLoader loader)) {
            return System.getProperty("java.class.path");
        }
        List<String> entries = new ArrayList<>();
        for (URL url : loader.getURLs()) {
            entries.add(Path.of(url.toURI()).toString());
        }
        return String.join(File.pathSeparator, entries);
    }
}
